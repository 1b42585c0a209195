//! Moving sessions from upstreams that hold more than their share to those that have room, as after a scale-out.
//!
//! Nobody sees a session but when it comes with a request, and proxies do not talk. So what is to move is chosen by the
//! session itself, and every proxy chooses alike:
//!
//! - Of an upstream with L sessions, of which E are above its share, those move whose hash lies in the lowest E/L. The part
//!   is set when the upstream becomes crowded and kept until it no longer is; so several proxies that see the same move
//!   about as many as one, and not each as many.
//! - A session only moves forward in its own rendezvous order, and an upstream that was given sessions gives none away
//!   until the cluster changes. So no session goes back and forth, and each moves once a change, as far as one proxy knows.
//! - Of those that may move the longest idle go first: the budget fills a bucket, and the fuller it is, the less idle a
//!   session has to be, one window of idle time for each that is in it. Where enough idle sessions come the bucket stays
//!   low and only they move; where none come it fills, and busy ones move too. It holds twice [`WINDOWS`], or it would
//!   overflow between one busy session and the next.
//!
//! The hash is salted by the upstreams that accept, so each scale-out draws its own lots.
//!
//! A session with a WebSocket at this proxy is [held](crate::cluster::Upstream::guard_session) and stays, however long it made no
//! request, and so does one whose WebSocket broke just now. Of WebSockets at others it does not know. Where most sessions
//! are held, an upstream may keep more than its share.
//!
//! A page that sends several requests at once may have one moved while another is in flight: that one still is answered by
//! the old upstream. Who cannot stand that has the [veto](crate::balancer::BalancerBuilder::veto).

use super::Claims;
use crate::cluster::{Quota, Upstream};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// An idle age is between eight and sixteen idle windows; where there is none, these are between a
/// thirty-second and a sixteenth of the absolute age.
const WINDOWS: u64 = 16;

/// How fast sessions are moved from crowded upstreams to those with room. See
/// [`BalancerBuilder::rebalance`](crate::balancer::BalancerBuilder::rebalance).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rebalance {
    /// How many sessions a minute this proxy moves at most, evenly; up to 32 at once where it had none to move before. 0:
    /// none, which is the default.
    pub budget_per_minute: u32,
}

/// A session that is about to be moved.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Where it is.
    pub from: &'a Upstream,
    /// Where it would go.
    pub to: &'a Upstream,
    /// For how long it was away, at least: whole idle windows are counted, each about an eighth of the idle age or, where there
    /// is none, a part in 256 of the absolute one.
    pub idle: Duration,
    /// The session id.
    pub session_id: u64,
}

/// Whether a session must stay.
pub(crate) type Veto = Arc<dyn Fn(&Candidate<'_>) -> bool + Send + Sync>;

/// Where a session stands among those that may move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MoveRank {
    windows: u64,
    /// Its own among equals: those with a low one go first.
    pub(crate) lot: u32,
}

impl MoveRank {
    /// Of a session, in a draw of this `salt`.
    pub(crate) fn new(claims: &Claims, salt: u64, now: Timestamp) -> Self {
        Self { windows: claims.idle_windows(now), lot: (mix64(claims.session_id ^ salt) >> 32) as u32 }
    }

    /// For how long the budget must have lain unspent before it is its turn.
    pub(crate) fn required_budget(self, quota: Quota) -> u64 {
        let missing = (WINDOWS - 1).saturating_sub(self.windows);
        missing * quota.interval + ((u128::from(quota.interval) * u128::from(self.lot)) >> 32) as u64
    }
}

impl Rebalance {
    /// Its pace in microseconds, unless it is off.
    pub(crate) fn quota(self) -> Option<Quota> {
        let interval = 60_000_000_u64.checked_div(self.budget_per_minute.into())?;
        Some(Quota { interval, burst_tolerance: 2 * WINDOWS * interval })
    }
}
