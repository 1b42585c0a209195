//! Follows a [discovery](crate::discovery) source: its upstreams become the roster's base, and with etcd the fleet's
//! overrides, keys, reports and live sessions apply to this gateway too.
//!
//! It does not decide what is in the cluster: that is the [roster](crate::roster)'s.
//!
//! In reading order: `start` (the first updates, before anything is set up; [`InitialDiscovery::follow`] goes on from
//! there on a thread of its own) and `follow` (that thread, which ends with [`FollowerHandle`]).

mod follow;
mod start;

pub use follow::FollowerHandle;
pub use start::{DiscoveryStartError, InitialDiscovery, start};

use crate::discovery::KeysText;
use homing::KeyRing;
use homing::config::keyfile::KeyFile;
use std::path::Path;

/// The `tracing` target of discovery: warnings where a source is unreachable or an update is refused.
pub const DISCOVERY_TARGET: &str = "homing::discovery";

fn parse_keys(KeysText(text): &KeysText) -> Result<KeyRing, String> {
    let file = KeyFile::parse(text, Path::new("keys in etcd")).map_err(|error| error.to_string())?;
    file.ring().map_err(|error| error.to_string())
}
