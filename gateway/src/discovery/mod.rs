//! *Where upstreams are found*: sources that report the upstreams of the cluster, and report again when they change.
//!
//! - [`FileSource`]: a list in a file of its own, which is watched;
//! - [`dns`]: hosts or services of the DNS, queried again as their TTL ends;
//! - [`etcd`]: everything that the gateways of a fleet share.
//!
//! An update is a whole list, never a difference, and it comes only when the list has changed.
//!
//! **No source empties a cluster.** What a source reports is taken whole or refused with its place; after an error, an
//! empty list, or while a source is unreachable, the last known state stays in force.
//!
//! ```no_run
//! use homing::Timestamp;
//! use homing_gateway::discovery::{DiscoverySource, DiscoveryUpdate, FileSource};
//! use homing_gateway::roster::Roster;
//! use homing::time::{Clock, SystemClock};
//! # async fn example(roster: Roster) -> Result<(), Box<dyn std::error::Error>> {
//! let mut source = FileSource::watch("upstreams.toml");
//! loop {
//!     match source.next().await {
//!         Ok(DiscoveryUpdate::Members(upstreams)) => {
//!             if let Err(error) = roster.set_discovered(upstreams, SystemClock.now()) {
//!                 eprintln!("refused: {error}");
//!             }
//!         }
//!         Ok(_) => {}
//!         Err(error) => eprintln!("the last known state stays in force: {error}"),
//!     }
//! }
//! # }
//! ```
//!
//! # What it does not do
//!
//! It changes no balancer and writes no log: its caller does. In the gateway that is [`following`](crate::following).
//!
//! In reading order: this file (the trait and its updates), `file`, [`dns`], [`etcd`].

pub mod dns;
pub mod etcd;
mod file;

pub use file::FileSource;

use crate::roster::{InstanceReport, Overrides};
use homing::cluster::{Sketch, UpstreamConfig};
use std::fmt;
use std::pin::Pin;

/// The next update of a source.
pub type NextUpdate<'a> = Pin<Box<dyn Future<Output = Result<DiscoveryUpdate, DiscoveryError>> + Send + 'a>>;

/// A source of upstreams.
pub trait DiscoverySource: Send {
    /// Waits for a change; the first time for the current state. Cancel safe: the next call returns what a dropped one
    /// would have.
    ///
    /// It paces itself, so that calling it in a loop after an error is no busy loop. The same error may come again and
    /// again.
    fn next(&mut self) -> NextUpdate<'_>;
}

/// A change. All but `Members` come only from sources that gateways share.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum DiscoveryUpdate {
    /// All upstreams. The first time they come behind the keys.
    Members(Vec<UpstreamConfig>),
    /// All overrides.
    Overrides(Overrides),
    /// The text of the key file.
    Keys(KeysText),
    /// The report of an instance.
    Report {
        /// Its name.
        upstream: String,
        /// Its figures.
        report: InstanceReport,
    },
    /// The live sessions of an upstream as another gateway knows them.
    Live {
        /// The gateway.
        gateway: String,
        /// The upstream's name.
        upstream: String,
        /// A sketch of them.
        sketch: Sketch,
    },
}

/// The text of a key file. Its `Debug` output hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct KeysText(pub String);

impl fmt::Debug for KeysText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeysText(..)")
    }
}

/// Why a source has no update.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// It cannot be queried, or has no such name.
    #[error("{from}: {message}")]
    Unreachable {
        /// The source.
        from: String,
        /// What is wrong.
        message: String,
    },
    /// What it reports is invalid.
    #[error("{place}: {message}")]
    Refused {
        /// Where that stands: a file with line and column, or a key.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
}
