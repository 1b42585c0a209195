//! *Where upstreams are found*: sources that say who is to be in the cluster, and say so again when that changes.
//!
//! - [`FileSource`]: a list in a file of its own, which is watched;
//! - [`dns`]: addresses or services of the DNS, asked for again as their TTL runs out *(feature `discovery-dns`)*;
//! - [`etcd`]: everything that gateways of one fleet share *(feature `discovery-etcd`)*.
//!
//! A source says whole memberships, never differences, and nothing but what changed. What it cannot read or does not
//! believe is an error that says where it stands; what was known before still holds then, and the source goes on.
//!
//! ```no_run
//! use homing::Timestamp;
//! use homing::discovery::{Discovery, File, Update};
//! use homing::roster::Roster;
//! use homing::time::{Clock, SystemClock};
//! # async fn example(roster: Roster) -> Result<(), Box<dyn std::error::Error>> {
//! let mut source = File::watch("upstreams.toml");
//! loop {
//!     match source.next().await {
//!         Ok(Update::Members(upstreams)) => {
//!             if let Err(error) = roster.set_discovered(upstreams, SystemClock.now()) {
//!                 eprintln!("refused: {error}");
//!             }
//!         }
//!         Ok(_) => {}
//!         Err(error) => eprintln!("going on with what is known: {error}"),
//!     }
//! }
//! # }
//! ```
//!
//! # What it does not do
//!
//! It changes no balancer and writes no log: whoever asks a source does. In the gateway that is
//! [`gateway::discovery`](crate::following).

pub mod dns;
pub mod etcd;
mod file;

pub use file::FileSource;

use crate::roster::{InstanceReport, Overrides};
use homing::cluster::{Sketch, UpstreamConfig};
use std::fmt;
use std::pin::Pin;

/// What a source says next.
pub type NextUpdate<'a> = Pin<Box<dyn Future<Output = Result<DiscoveryUpdate, DiscoveryError>> + Send + 'a>>;

/// A source of upstreams.
pub trait DiscoverySource: Send {
    /// Waits for what has changed; at first for what there is. A future that is dropped loses nothing that a later one
    /// would not bring.
    ///
    /// It paces itself: whoever asks again at once after an error keeps nothing busy. An error may come again and again in
    /// the same words.
    fn next(&mut self) -> NextUpdate<'_>;
}

/// What has changed. All but members is said by sources that gateways share.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum DiscoveryUpdate {
    /// The upstreams there are to be, all of them. At first they come behind the keys.
    Members(Vec<UpstreamConfig>),
    /// The orders of operators, all of them.
    Overrides(Overrides),
    /// The text of the key file.
    Keys(KeysText),
    /// What an instance says of itself.
    Report {
        /// Its name.
        upstream: String,
        /// What it says.
        report: InstanceReport,
    },
    /// What another gateway knows of an upstream's sessions.
    Live {
        /// The gateway.
        gateway: String,
        /// The upstream's name.
        upstream: String,
        /// What it knows.
        sketch: Sketch,
    },
}

/// The text of a key file, which is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct KeysText(pub String);

impl fmt::Debug for KeysText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeysText(..)")
    }
}

/// Why a source says nothing new.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// It cannot be asked, or does not know what it should.
    #[error("{from}: {message}")]
    Unreachable {
        /// Which.
        from: String,
        /// What is wrong.
        message: String,
    },
    /// Something that it says cannot be.
    #[error("{place}: {message}")]
    Refused {
        /// Where that stands: a file with line and column, or a key.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
}
