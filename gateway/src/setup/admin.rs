//! The administration and its token.

use super::token_file::load_token;
use super::{SetupError, existing_keys};
use crate::admin::{Admin, BearerToken};
use crate::config::GatewayConfig;
use crate::following::FollowerHandle;
use crate::roster::Roster;
use homing::KeyRing;
use homing::proxy::Proxy;
use std::sync::Arc;

/// The token that the administration requires, where one is configured.
pub(crate) fn admin_token(config: &GatewayConfig) -> Result<Option<BearerToken>, SetupError> {
    let file = config.admin.as_ref().and_then(|admin| admin.token_file.as_deref());
    Ok(file.map(load_token).transpose()?)
}

/// The administration of `proxy`, which `config` has set up, where one is configured. It makes changes through
/// `roster`, and rotates keys by reading the key file again.
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
