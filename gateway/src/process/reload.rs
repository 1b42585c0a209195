//! Reads a configuration and checks everything that it names before anything changes. Every fault has its place in the
//! file.

use crate::admin::{Admin, BearerToken};
use crate::config::{ConfigError, GatewayConfig, Upstream};
use crate::file_watch::FileWatch;
use crate::following::FollowerHandle;
use crate::listen::tls::Acceptor;
use crate::roster::Roster;
use crate::setup::{SetupError, acceptor, admin_token, existing_keys, proxy, setup_admin};
use homing::affinity::KeyError;
use homing::balancer::BalancerBuilder;
use homing::config::document::{Document, read_text, unreadable};
use homing::proxy::{Proxy, ProxyBuilder};
use homing::{BuildError, KeyRing};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The refusal of a change that a reload cannot make.
const FIXED: &str = "cannot change while the gateway runs: upgrade it in place (SIGUSR2) or restart it";

/// A configuration with its text, for the places of faults.
#[derive(Debug)]
pub(super) struct LoadedConfig {
    file: PathBuf,
    text: String,
    pub(super) config: GatewayConfig,
}

impl LoadedConfig {
    /// Reads `file`. Makes `files` watch the files that it names, and reads again where they were not watched before,
    /// so that no change falls between reading and watching.
    pub(super) fn read(file: &Path, files: &mut FileWatch) -> Result<Self, ConfigError> {
        loop {
            let opened = File::open(file).map_err(|source| unreadable(file, source))?;
            let text = read_text(file, opened)?;
            let config = GatewayConfig::parse(&text, file)?;
            let paths = paths(file, &config);
            if paths == files.paths() {
                return Ok(Self { file: file.to_owned(), text, config });
            }
            *files = FileWatch::new(paths);
        }
    }

    /// A fault of the value of `key`.
    pub(super) fn fault(&self, key: &str, message: impl ToString) -> ConfigError {
        Document::new(&self.file, &self.text).at(key, message).into()
    }
}

/// The files that a configuration consists of.
fn paths(file: &Path, config: &GatewayConfig) -> Vec<PathBuf> {
    let keys = config.affinity.enabled.then_some(&config.affinity.keys);
    let tls = config.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
    let token = config.admin.as_ref().and_then(|admin| admin.token_file.as_ref());
    std::iter::once(file)
        .chain(keys.into_iter().chain(tls).chain(token).map(PathBuf::as_path))
        .map(Into::into)
        .collect()
}

/// A checked configuration, with everything that was built from it.
pub(super) struct CheckedReload {
    pub(super) loaded: LoadedConfig,
    pub(super) balancer: BalancerBuilder,
    pub(super) proxy: ProxyBuilder,
    pub(super) tls: Option<Acceptor>,
    pub(super) admin: Option<Admin>,
    pub(super) token: Option<BearerToken>,
}

impl CheckedReload {
    /// Checks `loaded` against `current`, the configuration of the `running` proxy.
    pub(super) fn check(
        loaded: LoadedConfig,
        current: &GatewayConfig,
        running: &Proxy,
        roster: &Arc<Roster>,
        following: Option<&FollowerHandle>,
    ) -> Result<Self, ConfigError> {
        let config = &loaded.config;
        // With discovery the members are the source's, whatever the configuration lists.
        let members = config.discovery.is_some().then(|| {
            let cluster = running.balancer().cluster();
            cluster.members().iter().map(|member| Upstream::from(&member.config())).collect()
        });
        let begun = GatewayConfig { upstreams: members.unwrap_or_else(|| config.upstreams.clone()), ..config.clone() };
        if let Some(key) = fixed(current, config) {
            return Err(loaded.fault(key, FIXED));
        }
        let affinity = running.balancer().affinity();
        let fault = |error: SetupError| loaded.fault(key_of(&error), error);
        let mut ring: Option<KeyRing> = None;
        let mut builder = || {
            begun.balancer_tables().balancer(|file| {
                let shared = || affinity.as_ref().filter(|_| config.keys_are_shared().is_some());
                let keys = ring.take().or_else(|| Some(shared()?.keys().clone()));
                let keys = keys.map_or_else(|| existing_keys(file), Ok)?;
                Ok(ring.insert(keys).clone())
            })
        };
        let balancer = builder().map_err(fault)?;
        // Built only to see whether it can be: the running balancer takes the settings of the first builder over.
        builder().and_then(|builder| Ok(builder.build()?)).map_err(fault)?;
        if affinity.zip(ring).is_some_and(|(affinity, ring)| !affinity.keys().same_identity(&ring)) {
            return Err(loaded.fault("affinity.keys", KeyError::OtherIdentity));
        }
        let proxy = proxy(config, Arc::clone(running.balancer())).map_err(fault)?;
        let tls = acceptor(config).map_err(fault)?;
        let token = admin_token(config).map_err(fault)?;
        let admin = setup_admin(config, running, roster, following, token.clone());
        Ok(Self { balancer, proxy, tls, admin, token, loaded })
    }
}

/// The first key whose value differs and cannot change.
fn fixed(old: &GatewayConfig, new: &GatewayConfig) -> Option<&'static str> {
    let differs = [
        ("workers", old.workers != new.workers),
        ("discovery", old.discovery != new.discovery),
        ("state", old.state != new.state),
        ("affinity.enabled", old.affinity.enabled != new.affinity.enabled),
        ("affinity.live_window", new.affinity.enabled && old.affinity.live_window != new.affinity.live_window),
    ];
    differs.into_iter().find(|(_, differs)| *differs).map(|(key, _)| key)
}

/// The key of the configuration that an error is about.
fn key_of(error: &SetupError) -> &'static str {
    match error {
        SetupError::KeyFile(_) | SetupError::Keys(_) => "affinity.keys",
        SetupError::Lifetimes(_) => "affinity",
        SetupError::Cookie(_) => "affinity.cookie",
        SetupError::Balancer(BuildError::Cluster(_)) => "upstream",
        SetupError::Balancer(BuildError::Health(_)) => "health",
        SetupError::Balancer(_) => "policy.name",
        SetupError::State(_) => "state",
        SetupError::Admin(_) => "admin.token_file",
        SetupError::Tls(_) => "tls.certificate",
    }
}
