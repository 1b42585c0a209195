//! Rebalancing: moves sessions from upstreams that hold more than their share to those with room, as after a
//! scale-out.
//!
//! A proxy sees a session only when it makes a request, and proxies do not communicate. So the sessions that move are
//! selected by their own properties, and every proxy selects the same:
//!
//! - Of an upstream with L sessions, E of them above its share, those move whose hash lies in the lowest E/L. The
//!   fraction is set when the upstream becomes overloaded and kept until it no longer is. So several proxies that see
//!   the same state move as many sessions together as one would, instead of as many each.
//! - A session only moves forward in its own rendezvous order, and an upstream that was given sessions gives none away
//!   until the cluster changes. So no session oscillates, and each moves once a change, as far as one proxy knows.
//! - Of those that may move, the longest idle go first. The budget fills a bucket, and the fuller it is, the less idle
//!   a session has to be: each session in the bucket stands for one window of idle time. Where enough idle sessions
//!   come the bucket stays low and only they move; where none come it fills, and busy ones move too. It holds twice
//!   [`WINDOWS`], or it would overflow between one busy session and the next.
//!
//! The hash is salted by the set of accepting upstreams, so each scale-out selects other sessions.
//!
//! A session with a WebSocket at this proxy is [guarded](crate::cluster::Upstream::guard_session) and stays, however
//! long it made no request, and so does one whose WebSocket closed in the last window or two. WebSockets at other
//! proxies are not known here. Where most sessions are guarded, an upstream may keep more than its share.
//!
//! A page that sends several requests at once may have one moved while another is in flight, which the old upstream
//! still serves. Applications that cannot tolerate that use the [veto](crate::balancer::BalancerBuilder::veto).

use super::Claims;
use crate::cluster::{Quota, Upstream};
use crate::hash::mix64;
use crate::settings::settings;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The scale of idle time: an idle age is between eight and sixteen idle windows; without one, these are between a
/// thirty-second and a sixteenth of the absolute age.
const WINDOWS: u64 = 16;

settings! {
    /// How fast sessions move from overloaded upstreams to those with room. See
    /// [`BalancerBuilder::rebalance`](crate::balancer::BalancerBuilder::rebalance).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Rebalance {
        /// The most sessions that this proxy moves a minute, evenly spaced; up to 32 at once where it had none to move
        /// before. 0, the default, turns rebalancing off.
        budget_per_minute: u32 = 0,
    }
}

/// A session that is about to be moved.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// Its upstream.
    pub from: &'a Upstream,
    /// The upstream it would move to.
    pub to: &'a Upstream,
    /// For how long it made no request, at least: whole idle windows are counted, each about an eighth of the idle age
    /// or, without one, a 256th to a 128th of the absolute age.
    pub idle: Duration,
    /// The session id.
    pub session_id: u64,
}

/// Returns whether a session must stay.
pub(crate) type Veto = Arc<dyn Fn(&Candidate<'_>) -> bool + Send + Sync>;

/// The rank of a session among those that may move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MoveRank {
    windows: u64,
    /// Its hash: among equally idle sessions, those with a low one go first.
    pub(crate) lot: u32,
}

impl MoveRank {
    /// The rank of a session under this `salt`.
    pub(crate) fn new(claims: &Claims, salt: u64, now: Timestamp) -> Self {
        Self { windows: claims.idle_windows(now), lot: (mix64(claims.session_id ^ salt) >> 32) as u32 }
    }

    /// For how long the budget must have been unspent before the session may move.
    pub(crate) fn required_budget(self, quota: Quota) -> u64 {
        let missing = (WINDOWS - 1).saturating_sub(self.windows);
        missing * quota.interval + ((u128::from(quota.interval) * u128::from(self.lot)) >> 32) as u64
    }
}

impl Rebalance {
    /// The quota in microseconds; `None` where rebalancing is off.
    pub(crate) fn quota(self) -> Option<Quota> {
        let interval = 60_000_000_u64.checked_div(self.budget_per_minute.into())?;
        Some(Quota { interval, burst_tolerance: 2 * WINDOWS * interval })
    }
}
