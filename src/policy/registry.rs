//! The policies that configuration can name, and the parameters each takes.

use super::params::PolicyConfig;
use super::{Factory, Ketama, KeyHash, LeastConn, P2c, ParamError, Params, Random, RoundRobin};
use super::{chash, ip_hash, least_sessions, maglev, peak_ewma, rendezvous};
use std::sync::Arc;

/// A policy that can be chosen by name.
#[derive(Clone, Copy, Debug)]
pub struct PolicyEntry {
    /// The name, as in configuration.
    pub name: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// The names of its parameters.
    pub params: &'static [&'static str],
    configure: fn(Params) -> Result<Factory, ParamError>,
}

impl PolicyEntry {
    /// A factory that builds the policy with these parameters for each cluster.
    ///
    /// # Errors
    /// [`ParamError`] where the policy has no such parameter, or a value is invalid.
    pub fn configure(&self, params: Params) -> Result<Factory, ParamError> {
        (self.configure)(params)
    }
}

/// `entry!("name", Config, "summary")`, where `Config` reads the parameters, or `entry!("name", plain Type, "summary")`
/// for a policy that has none.
macro_rules! entry {
    ($name:literal, plain $policy:ty, $summary:literal) => {
        PolicyEntry {
            name: $name,
            summary: $summary,
            params: &[],
            configure: |params| match params.left() {
                Some(left) => Err(ParamError::Unknown { policy: $name, name: left.to_owned(), known: &[] }),
                None => Ok(Arc::new(|cluster| Box::new(<$policy>::new(cluster)))),
            },
        }
    };
    ($name:literal, $config:ty, $summary:literal) => {
        PolicyEntry {
            name: $name,
            summary: $summary,
            params: <$config>::PARAMS,
            configure: |params| <$config>::factory($name, params),
        }
    };
}

/// All policies that have a name.
#[must_use]
pub fn registry() -> &'static [PolicyEntry] {
    const REGISTRY: &[PolicyEntry] = &[
        entry!("round_robin", plain RoundRobin, "smooth weighted turns, nginx's sequence"),
        entry!("random", plain Random, "by weight, at random"),
        entry!("p2c", plain P2c, "the less loaded of two drawn by weight"),
        entry!("least_conn", plain LeastConn, "the fewest requests in flight by weight"),
        entry!("peak_ewma", peak_ewma::PeakEwmaConfig, "the one of two drawn by weight that lately answers sooner"),
        entry!(
            "least_sessions",
            least_sessions::LeastSessionsConfig,
            "the fewest live sessions by weight, of d drawn or of all"
        ),
        entry!("ip_hash", ip_hash::IpHashConfig, "by the client's network, as nginx's ip_hash"),
        entry!("hash", plain KeyHash, "by a key, as nginx's hash"),
        entry!("ketama", plain Ketama, "by a key on a ring, as nginx's hash consistent"),
        entry!("chash", chash::ChashConfig, "by a key or the address on a ring, as HAProxy's hash-type consistent"),
        entry!("maglev", maglev::MaglevConfig, "by a key on Envoy's Maglev table"),
        entry!(
            "rendezvous",
            rendezvous::RendezvousConfig,
            "by the key's hash, the same on every proxy, moving few at a change"
        ),
    ];
    REGISTRY
}

/// The policy of this name, or an error that lists all names.
///
/// # Errors
/// [`UnknownPolicy`] where the registry has no such name.
pub fn find(name: &str) -> Result<&'static PolicyEntry, UnknownPolicy> {
    registry().iter().find(|entry| entry.name == name).ok_or_else(|| UnknownPolicy { name: name.to_owned() })
}

/// The error for a name that no policy has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no policy {name:?}: use one of {}", names())]
pub struct UnknownPolicy {
    /// The name.
    pub name: String,
}

fn names() -> String {
    registry().iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}
