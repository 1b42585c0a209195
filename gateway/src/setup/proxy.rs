//! The proxy and its TLS acceptor, and the keys they need.

use super::SetupError;
use crate::config::GatewayConfig;
use crate::listen::tls::Acceptor;
use homing::config::keyfile::{KeyFile, KeyFileError};
use homing::proxy::{Limits, Proxy, ProxyBuilder, Timeouts};
use homing::{Balancer, KeyRing};
use std::path::Path;
use std::sync::Arc;

/// The proxy that `config` describes, and its TLS acceptor. Reads the key file, and creates it where absent.
///
/// # Errors
/// [`SetupError`], saying what to change.
pub fn setup(config: &GatewayConfig) -> Result<(Proxy, Option<Acceptor>), SetupError> {
    setup_with(config, None)
}

/// As [`setup()`], but with these keys, where a [discovery source](crate::discovery) has some, in place of the key
/// file's.
///
/// # Errors
/// [`SetupError`], saying what to change.
pub fn setup_with(config: &GatewayConfig, keys: Option<KeyRing>) -> Result<(Proxy, Option<Acceptor>), SetupError> {
    build(config, |path| keys.map_or_else(|| key_ring(&KeyFile::load_or_create(path)?), Ok))
}

pub(super) fn build(
    config: &GatewayConfig,
    keys: impl FnOnce(&Path) -> Result<KeyRing, SetupError>,
) -> Result<(Proxy, Option<Acceptor>), SetupError> {
    let balancer = config.balancer_tables().balancer(keys)?.build()?;
    Ok((proxy(config, balancer)?.build(), acceptor(config)?))
}

/// A builder of the proxy that `config` describes, in front of `balancer`.
pub(crate) fn proxy(config: &GatewayConfig, balancer: impl Into<Arc<Balancer>>) -> Result<ProxyBuilder, SetupError> {
    let mut proxy = Proxy::builder(balancer)
        .key(config.policy.key.clone())
        .trusted_proxies(config.trusted_proxies.clone())
        .timeouts(
            Timeouts::default()
                .header(config.timeouts.header)
                .connect(config.timeouts.connect)
                .response(config.timeouts.response)
                .idle(config.timeouts.idle),
        )
        .limits(Limits::default().header_bytes(config.limits.header_bytes).uri_bytes(config.limits.uri_bytes))
        .queue(config.queue)
        .retry(config.retry);
    let affinity = &config.affinity;
    if affinity.enabled {
        proxy = proxy.cookie(affinity.cookie_spec()?);
    }
    if let Some(name) = &affinity.lost_header {
        proxy = proxy.lost_header(name.clone());
    }
    Ok(proxy)
}

/// The acceptor of `[tls]`, where that is configured.
pub(crate) fn acceptor(config: &GatewayConfig) -> Result<Option<Acceptor>, SetupError> {
    Ok(config.tls.as_ref().map(|tls| Acceptor::load(tls, config.timeouts.header)).transpose()?)
}

/// The keys in a file that has to exist.
pub(crate) fn existing_keys(file: &Path) -> Result<KeyRing, SetupError> {
    key_ring(&KeyFile::load(file).map_err(KeyFileError::from)?)
}

fn key_ring(file: &KeyFile) -> Result<KeyRing, SetupError> {
    if let Some(warning) = file.warning() {
        tracing::warn!("{warning}");
    }
    Ok(file.ring()?)
}
