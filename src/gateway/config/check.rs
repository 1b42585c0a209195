//! What the values may be together.

use super::{Config, Health};
use crate::config::check::{tables, upstreams};
use crate::config::document::{Diagnostic, Document};

/// The first contradiction in `config`, which was read from `document`.
pub(super) fn check(config: &Config, document: &Document<'_>) -> Result<(), Diagnostic> {
    tables(&config.parts(), document)?;
    incarnations(&config.health, document)?;
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
