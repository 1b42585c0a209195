//! Everything that a configuration names, checked together.

use super::SetupError;
use super::admin::admin_token;
use super::proxy::{build, existing_keys};
use super::roster::check_roster;
use crate::config::GatewayConfig;
use homing::KeyRing;
use homing::config::keyfile::POOL;
use std::path::Path;

/// Whether [`setup()`](super::setup()) would succeed. Reads what that would read, and leaves nothing behind.
///
/// # Errors
/// [`SetupError`], saying what to change.
pub fn check(config: &GatewayConfig) -> Result<(), SetupError> {
    let existing = |path: &Path| match path.try_exists() {
        Ok(false) => Ok(KeyRing::generate(POOL)?),
        _ => existing_keys(path),
    };
    let (proxy, _) = build(config, existing)?;
    check_roster(config, proxy.balancer())?;
    admin_token(config)?;
    Ok(())
}
