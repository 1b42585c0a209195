//! Follows a [discovery](crate::discovery) source: what it finds becomes the roster's base, and with etcd the fleet's orders,
//! keys, reports and live sessions are this gateway's too.
//!
//! [`start`] asks the source before anything else is set up; [`InitialDiscovery::follow`] goes on from there, on a thread of its own,
//! which ends with [`FollowerHandle`].

mod follow;
mod start;

pub use follow::FollowerHandle;
pub use start::{DiscoveryStartError, InitialDiscovery, start};

use crate::discovery::KeysText;
use homing::KeyRing;
use homing::config::keyfile::KeyFile;
use std::path::Path;

/// The `tracing` target of what sources say: warnings where one is not there or is refused.
pub const DISCOVERY_TARGET: &str = "homing::discovery";

fn parse_keys(KeysText(text): &KeysText) -> Result<KeyRing, String> {
    let file = KeyFile::parse(text, Path::new("keys in etcd")).map_err(|error| error.to_string())?;
    file.ring().map_err(|error| error.to_string())
}
