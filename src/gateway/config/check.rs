//! What the values may be together.

use super::{Admin, Config, Health};
use crate::config::check::{tables, upstreams};
use crate::config::document::{Diagnostic, Document};

/// The first contradiction in `config`, which was read from `document`.
pub(super) fn check(config: &Config, document: &Document<'_>) -> Result<(), Diagnostic> {
    tables(&config.parts(), document)?;
    incarnations(&config.health, document)?;
    admin(config.admin.as_ref(), document)?;
    upstreams(&config.upstreams, document)
}

/// Who asks for processes to be told apart asks for probes that are answered.
fn incarnations(health: &Health, document: &Document<'_>) -> Result<(), Diagnostic> {
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
fn admin(admin: Option<&Admin>, document: &Document<'_>) -> Result<(), Diagnostic> {
    match admin {
        Some(Admin { listen, token_file: None }) if !listen.ip().to_canonical().is_loopback() => {
            let message = "is not a loopback address; let only those in who have a token, by admin.token_file";
            Err(document.at("admin.listen", message))
        }
        _ => Ok(()),
    }
}
