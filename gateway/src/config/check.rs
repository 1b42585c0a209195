//! What the values may be together.

use super::{AdminConfig, DiscoveryConfig, EtcdConfig, GatewayConfig, HealthConfig};
use homing::config::check::{tables, upstreams};
use homing::config::document::{Diagnostic, Document};

/// The first contradiction in `config`, which was read from `document`.
pub(super) fn check(config: &GatewayConfig, document: &Document<'_>) -> Result<(), Diagnostic> {
    tables(&config.balancer_tables(), document)?;
    incarnations(&config.health, document)?;
    admin(config.admin.as_ref(), document)?;
    discovery(config, document)?;
    match config.discovery.is_some() && config.upstreams.is_empty() {
        true => Ok(()),
        false => upstreams(&config.upstreams, document),
    }
}

/// Who asks for processes to be told apart asks for probes that are answered.
fn incarnations(health: &HealthConfig, document: &Document<'_>) -> Result<(), Diagnostic> {
    if health.target().is_some() {
        return Ok(());
    }
    let mut keys = ["health.incarnation_header", "health.incarnation_json"].into_iter();
    match keys.find(|key| document.has(key)) {
        Some(key) => Err(document.at(key, "is read from the answers to probes; say by health.path what they get")),
        None => Ok(()),
    }
}

/// Who could be anybody has to show a token.
fn admin(admin: Option<&AdminConfig>, document: &Document<'_>) -> Result<(), Diagnostic> {
    match admin {
        Some(AdminConfig { listen, token_file: None }) if !listen.ip().to_canonical().is_loopback() => {
            let message = "is not a loopback address; let only those in who have a token, by admin.token_file";
            Err(document.at("admin.listen", message))
        }
        _ => Ok(()),
    }
}

/// What belongs together is there together.
fn discovery(config: &GatewayConfig, document: &Document<'_>) -> Result<(), Diagnostic> {
    if let Some(DiscoveryConfig::Dns(dns)) = &config.discovery
        && dns.floor > dns.ceiling
    {
        return Err(document.at("discovery.dns.floor", "is longer than ceiling; shorten floor or lengthen ceiling"));
    }
    let Some(DiscoveryConfig::Etcd(EtcdConfig { endpoints, ca, certificate, key, user, password_file, .. })) =
        &config.discovery
    else {
        return Ok(());
    };
    if config.state.is_some() {
        return Err(document.at("state", "is where one gateway keeps what operators change; a fleet keeps it in etcd"));
    }
    let at = |key: &str, message| Err(document.at(&format!("discovery.etcd.{key}"), message));
    if ca.is_none() && endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
        return at("endpoints", "has https; say by ca whose certificates to believe");
    }
    match (certificate, key) {
        (Some(_), None) => return at("certificate", "has no key; name its file by key"),
        (None, Some(_)) => return at("key", "has no certificate; name its file by certificate"),
        _ => {}
    }
    match (user, password_file) {
        (Some(_), None) => at("user", "has no password; name its file by password_file"),
        (None, Some(_)) => at("password_file", "is nobody's; say whose by user"),
        _ => Ok(()),
    }
}
