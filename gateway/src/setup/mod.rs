//! From a configuration to a proxy that serves it.

use crate::admin::{Admin, BearerToken};
use crate::admin::{TokenFileError, load_token};
use crate::config::{GatewayConfig, Upstream};
use crate::following::FollowerHandle;
use crate::listen::tls::{Acceptor, TlsError};
use crate::roster::Roster;
use crate::roster::state_file::StateFileError;
use homing::affinity::{KeyError, LifetimeError};
use homing::config::keyfile::{KeyFile, KeyFileError, POOL};
use homing::http::CookieError;
use homing::proxy::{Limits, Proxy, ProxyBuilder, Timeouts};
use homing::{Balancer, BuildError, KeyRing, UpstreamConfig};
use std::path::Path;
use std::sync::Arc;

/// Why a configuration could not be put to work.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The keys in it.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The lifetimes of sessions.
    #[error("[affinity]: {0}")]
    Lifetimes(#[from] LifetimeError),
    /// The upstreams or the policy.
    #[error(transparent)]
    Balancer(#[from] BuildError),
    /// The cookie.
    #[error("[affinity]: {0}")]
    Cookie(#[from] CookieError),
    /// The administration's token.
    #[error("[admin]: {0}")]
    Admin(#[from] TokenFileError),
    /// The certificate or its key.
    #[error("[tls]: {0}")]
    Tls(#[from] TlsError),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateFileError),
}

/// The proxy that `config` describes, and what accepts TLS for it. Reads the key file, and creates it where absent.
///
/// # Errors
/// [`SetupError`], saying what to change.
pub fn setup(config: &GatewayConfig) -> Result<(Proxy, Option<Acceptor>), SetupError> {
    setup_with(config, None)
}

/// As [`setup()`], but with these keys, where some were [found](super::discovery), in place of the key file's.
///
/// # Errors
/// [`SetupError`], saying what to change.
pub fn setup_with(config: &GatewayConfig, keys: Option<KeyRing>) -> Result<(Proxy, Option<Acceptor>), SetupError> {
    build(config, |path| keys.map_or_else(|| key_ring(&KeyFile::load_or_create(path)?), Ok))
}

/// Whether [`setup()`] would succeed. Reads what that would read, and leaves nothing behind.
///
/// # Errors
/// [`SetupError`], saying what to change.
pub fn check(config: &GatewayConfig) -> Result<(), SetupError> {
    let existing = |path: &Path| match path.try_exists() {
        Ok(false) => Ok(KeyRing::generate(POOL)?),
        _ => existing_keys(path),
    };
    let mut config = config.clone();
    if config.discovery.is_some() && config.upstreams.is_empty() {
        // Who will be there is not known, but that somebody has to.
        config.upstreams.push(Upstream::from(&UpstreamConfig::new("anybody", "127.0.0.1:9")));
    }
    let (proxy, _) = build(&config, existing)?;
    crate::roster::ticker::check(&config, proxy.balancer())?;
    admin_token(&config)?;
    Ok(())
}

/// The token of the administration, where it is to ask for one.
pub(crate) fn admin_token(config: &GatewayConfig) -> Result<Option<BearerToken>, SetupError> {
    let file = config.admin.as_ref().and_then(|admin| admin.token_file.as_deref());
    Ok(file.map(load_token).transpose()?)
}

/// The administration of `proxy`, which `config` has set up, where there is to be one. It makes changes through `roster`,
/// and rotates keys by reading the key file again.
pub(crate) fn setup_admin(
    config: &GatewayConfig,
    proxy: &Proxy,
    roster: &Arc<Roster>,
    following: Option<&FollowerHandle>,
    token: Option<BearerToken>,
) -> Option<Admin> {
    config.admin.as_ref()?;
    let mut admin = Admin::builder(proxy).roster(Arc::clone(roster));
    if let Some(following) = following {
        admin = admin.discovery(following.is_up());
    }
    if let Some(token) = token {
        admin = admin.token(token);
    }
    if config.affinity.enabled {
        let file = config.affinity.keys.clone();
        admin = match config.keys_are_shared() {
            Some(key) => {
                admin.keys(move || Err::<KeyRing, _>(format!("the fleet's keys are in etcd: put their text at {key}")))
            }
            None => admin.keys(move || existing_keys(&file)),
        };
    }
    Some(admin.build())
}

fn build(
    config: &GatewayConfig,
    keys: impl FnOnce(&Path) -> Result<KeyRing, SetupError>,
) -> Result<(Proxy, Option<Acceptor>), SetupError> {
    let balancer = config.parts().balancer(keys)?.build()?;
    Ok((proxy(config, balancer)?.build(), acceptor(config)?))
}

/// The adapter's settings.
pub(crate) fn proxy(config: &GatewayConfig, balancer: impl Into<Arc<Balancer>>) -> Result<ProxyBuilder, SetupError> {
    let mut proxy = Proxy::builder(balancer)
        .key(config.policy.key.clone())
        .trusted_proxies(config.trusted_proxies.clone())
        .timeouts(Timeouts {
            header: config.timeouts.header,
            connect: config.timeouts.connect,
            response: config.timeouts.response,
            idle: config.timeouts.idle,
        })
        .limits(Limits { header_bytes: config.limits.header_bytes, uri_bytes: config.limits.uri_bytes })
        .queue(config.queue)
        .retry(config.retry);
    let settings = &config.affinity;
    if settings.enabled {
        proxy = proxy.cookie(settings.cookie_spec()?);
    }
    if let Some(name) = &settings.lost_header {
        proxy = proxy.lost_header(name.clone());
    }
    Ok(proxy)
}

/// What accepts TLS, where there is to be TLS.
pub(crate) fn acceptor(config: &GatewayConfig) -> Result<Option<Acceptor>, SetupError> {
    Ok(config.tls.as_ref().map(|tls| Acceptor::load(tls, config.timeouts.header)).transpose()?)
}

/// The keys in a file that is there.
pub(crate) fn existing_keys(file: &Path) -> Result<KeyRing, SetupError> {
    key_ring(&KeyFile::load(file).map_err(KeyFileError::from)?)
}

fn key_ring(file: &KeyFile) -> Result<KeyRing, SetupError> {
    if let Some(warning) = file.warning() {
        tracing::warn!("{warning}");
    }
    Ok(file.ring()?)
}
