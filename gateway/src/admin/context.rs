//! What all connections of one administration share.

use super::api::token::BearerToken;
use super::views::feed::Feed;
use super::views::history::History;
use super::views::metrics::Metrics;
use super::views::recent::Recent;
use super::views::reloads::Reloads;
use crate::roster::Roster;
use homing::proxy::Proxy;
use homing::time::Clock;
use homing::{Balancer, KeyRing};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads the keys that are to be put in force.
pub(super) type ReadKeys = dyn Fn() -> Result<KeyRing, Box<dyn Error + Send + Sync>> + Send + Sync;

pub(crate) struct AdminContext {
    pub(super) balancer: Arc<Balancer>,
    /// Of that balancer.
    pub(super) roster: Arc<Roster>,
    /// `None` for a balancer alone.
    pub(super) proxy: Option<Proxy>,
    pub(super) token: Option<BearerToken>,
    /// `None` where there are no keys to rotate.
    pub(super) keys: Option<Box<ReadKeys>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) feed: Arc<Feed>,
    pub(super) history: History,
    pub(super) recent: Recent,
    pub(super) metrics: Metrics,
    pub(super) reloads: Arc<Reloads>,
    /// One permit for each event stream.
    pub(super) streams: Arc<Semaphore>,
}
