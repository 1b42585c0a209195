//! What several values may be together.

use super::{AdminConfig, DiscoveryConfig, EtcdConfig, GatewayConfig, HealthConfig};
use homing::config::check::{tables, upstreams};
use homing::config::document::{Diagnostic, Document};

/// The first contradiction in `config`, which was read from `document`.
pub(super) fn check(config: &GatewayConfig, document: &Document<'_>) -> Result<(), Diagnostic> {
    tables(&config.balancer_tables(), document)?;
    incarnations(&config.health, document)?;
    admin(config.admin.as_ref(), document)?;
    discovery(config, document)?;
    // A discovery source, instances that register and operators may all name the first upstream later.
    let may_begin_empty = config.discovery.is_some() || config.admin.is_some();
    match may_begin_empty && config.upstreams.is_empty() {
        true => Ok(()),
        false => upstreams(&config.upstreams, document),
    }
}

/// Identifying processes needs probes with a response.
fn incarnations(health: &HealthConfig, document: &Document<'_>) -> Result<(), Diagnostic> {
    if health.target().is_some() {
        return Ok(());
    }
    let mut keys = ["health.incarnation_header", "health.incarnation_json"].into_iter();
    match keys.find(|key| document.has(key)) {
        Some(key) => Err(document.at(key, "is read from the responses to probes; set health.path, their target")),
        None => Ok(()),
    }
}

/// Beyond loopback a token is required.
fn admin(admin: Option<&AdminConfig>, document: &Document<'_>) -> Result<(), Diagnostic> {
    match admin {
        Some(AdminConfig { listen, token_file: None }) if !listen.ip().to_canonical().is_loopback() => {
            let message = "is not a loopback address; require a token, by admin.token_file";
            Err(document.at("admin.listen", message))
        }
        _ => Ok(()),
    }
}

/// Keys of `[discovery]` that need each other.
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
        return Err(
            document.at("state", "is the state file of one gateway; a fleet keeps overrides in etcd: leave it out")
        );
    }
    let at = |key: &str, message| Err(document.at(&format!("discovery.etcd.{key}"), message));
    if ca.is_none() && endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
        return at("endpoints", "has https; set ca, the certificate authorities to trust");
    }
    match (certificate, key) {
        (Some(_), None) => return at("certificate", "has no key; name its file by key"),
        (None, Some(_)) => return at("key", "has no certificate; name its file by certificate"),
        _ => {}
    }
    match (user, password_file) {
        (Some(_), None) => at("user", "has no password; name its file by password_file"),
        (None, Some(_)) => at("password_file", "has no user; set user as well"),
        _ => Ok(()),
    }
}
