//! *How* a session is placed: one algorithm a file, and a registry to choose one by name.
//!
//! A policy sees only sessions that no token pins (affinity wraps a policy and is never one). Adding one is a
//! file here with its parameters, a line in [`registry`], and a line that gives it the conformance suite.

mod chash;
mod crc32;
mod hash;
mod ip_hash;
mod ketama;
mod key;
mod least_conn;
mod least_sessions;
mod maglev;
mod p2c;
mod params;
mod peak_ewma;
mod random;
mod rendezvous;
mod ring;
mod round_robin;
mod rounds;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod vectors;

pub use chash::Chash;
pub use hash::KeyHash;
pub use ip_hash::IpHash;
pub use ketama::Ketama;
pub use least_conn::LeastConn;
pub use least_sessions::LeastSessions;
pub use maglev::Maglev;
pub use p2c::P2c;
pub use params::{ParamError, Params};
pub use peak_ewma::PeakEwma;
pub use random::Random;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

use crate::cluster::{Cluster, Session};
pub(crate) use key::point;
use params::Configure;
use std::fmt;
use std::sync::Arc;

/// Places a session that no token pins.
///
/// A policy is built for one [`Cluster`] and asked about that cluster alone; the next membership change builds
/// the next policy. `place` runs on every thread at once, so it takes no lock and allocates nothing; what it
/// remembers (a cursor, say) it keeps in atomics.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Index of an upstream of `cluster` that [accepts](Cluster::accepts) the session, or `None` where none does.
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize>;

    /// What the next [`place`](Self::place) would return, changing nothing. The same unless a policy remembers what it
    /// placed.
    fn peek(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        self.place(cluster, session)
    }

    /// Whether it places by the session's key, or by the address that stands in for it: then one key always goes to one
    /// upstream while nothing changes.
    fn is_keyed(&self) -> bool {
        false
    }

    /// The same policy for the next `cluster`, made from this one where that is cheaper than to build it. It places
    /// as one that was built does. `None`, unless said otherwise: then it is built.
    fn rebuilt(&self, cluster: &Cluster) -> Option<Box<dyn Policy>> {
        let _ = cluster;
        None
    }
}

/// Builds a policy for a cluster; called at each membership change, off the path of picks.
pub type Factory = Arc<dyn Fn(&Cluster) -> Box<dyn Policy> + Send + Sync>;

/// A policy that can be chosen by name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name, as in configuration.
    pub name: &'static str,
    /// What it does, in half a line.
    pub summary: &'static str,
    /// The names of its parameters.
    pub params: &'static [&'static str],
    configure: fn(Params) -> Result<Factory, ParamError>,
}

impl Entry {
    /// What builds the policy with these parameters for each cluster.
    ///
    /// # Errors
    /// [`ParamError`] where it has no such parameter, or a value is not what it takes.
    pub fn configure(&self, params: Params) -> Result<Factory, ParamError> {
        (self.configure)(params)
    }
}

/// `entry!("name", Config, "summary")`, where `Config` reads the parameters, or `entry!("name", plain Type, "summary")`
/// for a policy that has none.
macro_rules! entry {
    ($name:literal, plain $policy:ty, $summary:literal) => {
        Entry {
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
        Entry {
            name: $name,
            summary: $summary,
            params: <$config>::PARAMS,
            configure: |params| <$config>::factory($name, params),
        }
    };
}

/// Every policy that has a name.
#[must_use]
pub fn registry() -> &'static [Entry] {
    const REGISTRY: &[Entry] = &[
        entry!("round_robin", plain RoundRobin, "smooth weighted turns, nginx's sequence"),
        entry!("random", plain Random, "by weight, at random"),
        entry!("p2c", plain P2c, "the less loaded of two drawn by weight"),
        entry!("least_conn", plain LeastConn, "the fewest requests in flight by weight"),
        entry!("peak_ewma", peak_ewma::Config, "the one of two drawn by weight that lately answers sooner"),
        entry!("least_sessions", least_sessions::Config, "the fewest live sessions by weight, of d drawn or of all"),
        entry!("ip_hash", ip_hash::Config, "by the client's network, as nginx's ip_hash"),
        entry!("hash", plain KeyHash, "by a key, as nginx's hash"),
        entry!("ketama", plain Ketama, "by a key on a ring, as nginx's hash consistent"),
        entry!("chash", chash::Config, "by a key or the address on a ring, as HAProxy's hash-type consistent"),
        entry!("maglev", maglev::Config, "by a key on Envoy's Maglev table"),
        entry!("rendezvous", rendezvous::Config, "by the key's hash, the same on every proxy, moving few at a change"),
    ];
    REGISTRY
}

/// The policy of this name, or an error that lists those there are.
///
/// # Errors
/// [`UnknownPolicy`] where the registry has no such name.
pub fn find(name: &str) -> Result<&'static Entry, UnknownPolicy> {
    registry().iter().find(|entry| entry.name == name).ok_or_else(|| UnknownPolicy { name: name.to_owned() })
}

/// A name that no policy has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no policy {name:?}: use one of {}", names())]
pub struct UnknownPolicy {
    /// The name.
    pub name: String,
}

fn names() -> String {
    registry().iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}
