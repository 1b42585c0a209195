//! The shared cell of one upstream: its identity, and the state that changes while it lives.

use super::guarded_sessions::GuardedSessions;
use super::indexed_load::{Availability, IndexedLoad};
use super::latency::Latency;
use super::lifecycle::Lifecycle;
use super::load_index::LoadIndex;
use super::outcome_counters::OutcomeCounters;
use super::sessions::Sessions;
use super::sketch::Sketch;
use super::waiters::Waiters;
use super::{Decision, PinLoss, UpstreamId};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

/// One instance that serves requests.
///
/// Shared by every [`Cluster`](super::Cluster) that it belongs to, so its counts and health survive changes of the
/// others. All methods take `&self`, are safe from any thread and cost one relaxed atomic operation unless they say
/// otherwise.
///
/// The fields that a pick reads and writes come first, in a cache line that no other data shares. The alignment is two
/// lines, since x86-64 prefetches adjacent lines in pairs.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Upstream {
    indexed_load: IndexedLoad,
    id: UpstreamId,
    latency: Latency,
    sessions: Sessions,
    outcome_counters: OutcomeCounters,
    lifecycle: Lifecycle,
    incarnation: AtomicU16,
    /// The most frequent decision has no counter of its own: it is the total less all other decisions.
    usual: Decision,
    name: Box<str>,
    address: Box<str>,
    /// By [`Decision::index`].
    decisions: [AtomicU64; Decision::COUNT],
    guarded: GuardedSessions,
    /// Of the balancer.
    waiters: Arc<Waiters>,
}

impl Upstream {
    /// With affinity, `window` is the length of a window of live sessions as a power of two of seconds, and most picks
    /// are pinned. Without, it is `None`, every request is a session of its own, and most picks are new. Leases move
    /// the upstream on `load_index`, and wake `waiters` when they end.
    pub(crate) fn new(
        name: &str,
        address: &str,
        id: UpstreamId,
        window: Option<u8>,
        load_index: Arc<LoadIndex>,
        waiters: Arc<Waiters>,
    ) -> Self {
        Self {
            indexed_load: IndexedLoad::new(load_index),
            id,
            latency: Latency::new(),
            sessions: Sessions::new(window),
            outcome_counters: OutcomeCounters::default(),
            lifecycle: Lifecycle::default(),
            incarnation: AtomicU16::new(0),
            usual: if window.is_some() { Decision::Pinned } else { Decision::New },
            name: name.into(),
            address: address.into(),
            decisions: [const { AtomicU64::new(0) }; Decision::COUNT],
            guarded: GuardedSessions::default(),
            waiters,
        }
    }

    /// Its name, unique in the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address as configured; the core does not interpret it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its id in tokens.
    #[must_use]
    pub fn id(&self) -> UpstreamId {
        self.id
    }

    /// Requests and tunnels in flight now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.indexed_load.load().in_flight()
    }

    /// Requests leased since the start, modulo 2^40.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.indexed_load.load().total()
    }

    /// The approximate number of requests leased in the second of `now`, which breaks ties between equal loads.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> u64 {
        self.indexed_load.load().recent(now)
    }

    /// Records a response latency, such as the time from sending a request to the head of its response, for
    /// `peak_ewma`. Costs one load if no such policy is in force, otherwise an exponential and two atomic operations.
    pub fn observe(&self, latency: Duration, now: Timestamp) {
        self.latency.observe(latency, now);
    }

    /// Whether a policy uses what is [observed](Self::observe). If not, a host need not measure.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.latency.is_followed()
    }

    /// The expected response latency, by what was [observed](Self::observe): an average that rises to a slower response
    /// at once and decays with the policy's time constant. `None` if no policy uses it or nothing was observed.
    #[must_use]
    pub fn latency(&self, now: Timestamp) -> Option<Duration> {
        self.latency_seconds(now).and_then(|seconds| Duration::try_from_secs_f32(seconds).ok())
    }

    pub(crate) fn latency_seconds(&self, now: Timestamp) -> Option<f32> {
        self.latency.seconds(now)
    }

    /// Enables the average of latencies, with this time constant.
    pub(crate) fn follow_latency(&self, decay: Duration) {
        self.latency.follow(decay);
    }

    /// An estimate of the live sessions: those with a request in the current or the previous
    /// [window](crate::affinity::AffinityBuilder::live_window), through this proxy or through another whose sketch was
    /// [absorbed](Self::absorb).
    ///
    /// A tunnel is one request, however long it lives. A session that only has a WebSocket open counts while it is
    /// [guarded](Self::guard_session); the `proxy` feature guards it.
    ///
    /// The standard error is about 1 % up to 1000 sessions and 2 % up to 10,000, by linear counting over session ids;
    /// the estimate ends at 36,514. Always 0 without affinity, where every request is a session of its own.
    #[must_use]
    pub fn live_sessions(&self, now: Timestamp) -> u32 {
        self.sessions.estimate(now)
    }

    pub(super) fn guarded(&self) -> &GuardedSessions {
        &self.guarded
    }

    /// Whether the session is [guarded](Self::guard_session), or was until recently. Takes a lock.
    pub(crate) fn is_guarded(&self, session_id: u64) -> bool {
        self.guarded.has(session_id)
    }

    /// The number of sessions that are [guarded](Self::guard_session), or were until recently. Takes a lock.
    pub(crate) fn guarded_sessions(&self) -> usize {
        self.guarded.count()
    }

    /// Counts all [guarded](Self::guard_session) sessions as live at `now`. Takes a lock.
    pub(crate) fn touch_guarded(&self, now: Timestamp) {
        self.guarded.touch(&self.sessions, now);
    }

    /// The live sessions that this proxy knows of, for other proxies of the pool to [absorb](Self::absorb). Reads 1.4
    /// kB.
    #[must_use]
    pub fn sketch(&self, now: Timestamp) -> Sketch {
        self.sessions.sketch(now)
    }

    /// Adds the live sessions that another proxy knows of, so that [`live_sessions`](Self::live_sessions) is what one
    /// proxy would count that saw the requests of both. Sketches may be absorbed in any order, repeatedly, and while
    /// requests are counted.
    ///
    /// Returns `false` if the other proxy's clock has begun a window that this one's has not: absorb the sketch, or a
    /// later one, again when it has. Sketches with another length of windows, and marks of windows that are over or
    /// further ahead, are ignored.
    pub fn absorb(&self, sketch: &Sketch, now: Timestamp) -> bool {
        self.sessions.absorb(sketch, now)
    }

    /// Counts the session as live at `now`.
    pub(crate) fn touch(&self, session_id: u64, now: Timestamp) {
        self.sessions.touch(session_id, now);
    }

    /// [`live_sessions`](Self::live_sessions) less those that were [moved away](Self::move_away), whose marks count
    /// until their windows are over.
    pub(crate) fn resident_sessions(&self, now: Timestamp) -> u32 {
        self.sessions.estimate(now).saturating_sub(self.sessions.moved(now))
    }

    /// Whether sessions [moved away](Self::move_away) in this window or the last.
    pub(crate) fn is_leaving(&self, now: Timestamp) -> bool {
        self.sessions.moved(now) > 0
    }

    /// Records that the session moved to another upstream.
    pub(crate) fn move_away(&self, session_id: u64, now: Timestamp) {
        self.sessions.move_away(session_id, now);
    }

    /// The availability bits in force.
    #[must_use]
    pub fn availability(&self) -> Availability {
        self.indexed_load.availability()
    }

    /// Sets the availability bits; picks that begin afterwards follow them. An upstream that does not serve does not
    /// accept either, whatever `accepting` says: a session placed there would be lost at its next request. A change
    /// wakes those that [wait](crate::Balancer::waiter) for the upstream.
    pub fn set_availability(&self, availability: Availability) {
        if self.indexed_load.set_availability(availability) {
            self.waiters.availability_changed(self.id, self.indexed_load.load());
        }
    }

    /// Offers a place that came free to a waiter.
    #[cold]
    pub(super) fn place_freed(&self) {
        self.waiters.freed(self.id, self.indexed_load.load());
    }

    /// From now on waiters are told of free places and changes of availability. Call it with their lock held.
    pub(crate) fn watch(&self) {
        self.indexed_load.load().watch();
    }

    /// The number of the upstream's current process; 0 while it is unknown.
    #[must_use]
    pub fn incarnation(&self) -> u16 {
        self.incarnation.load(Ordering::Relaxed)
    }

    /// Sets the number of the upstream's current process. A session whose token carries another number has lost its
    /// in-memory state, and its next decision is [`PinLoss::OtherIncarnation`].
    pub fn set_incarnation(&self, incarnation: u16) {
        self.incarnation.store(incarnation, Ordering::Relaxed);
    }

    /// The number of picks of this upstream with this decision.
    ///
    /// The usual decision (pinned with affinity, new without) has no counter: it is the total less all others, so a
    /// reader that races with picks may be off by those under way. Costs a load for each decision then.
    #[must_use]
    pub fn decided(&self, decision: Decision) -> u64 {
        let count = |d: Decision| self.decisions[d.index()].load(Ordering::Relaxed);
        if decision == self.usual {
            let others = Decision::all().filter(|d| *d != self.usual).map(count).sum();
            self.total().saturating_sub(others)
        } else {
            count(decision)
        }
    }

    /// Counts a pick with this decision. Free for the usual one.
    pub(crate) fn note(&self, decision: Decision) {
        if decision != self.usual {
            self.decisions[decision.index()].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When the session has to leave, if an operator [drains](crate::Balancer::drain) this upstream with a deadline: at
    /// a time within the spread that follows the deadline, by a hash of the session id and so the same on every proxy.
    /// `None` without a deadline, which costs one load.
    #[must_use]
    pub fn drain_deadline(&self, session_id: u64) -> Option<Timestamp> {
        // Every pinned pick calls this, and mostly no drain is in progress.
        self.lifecycle
            .has_drain_deadline()
            .then(|| self.lifecycle.drain_deadline(session_id ^ mix64(self.id.0)))
            .flatten()
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    pub(crate) fn outcome_counters(&self) -> &OutcomeCounters {
        &self.outcome_counters
    }

    pub(super) fn indexed_load(&self) -> &IndexedLoad {
        &self.indexed_load
    }

    /// Checks that a token of `incarnation` was issued under the upstream's current process. An unknown incarnation (0)
    /// on either side proves nothing, and a pin is only broken on proof.
    pub(crate) fn is_incarnation(&self, incarnation: u16) -> Result<(), PinLoss> {
        let current = self.incarnation();
        if current == incarnation || current == 0 || incarnation == 0 { Ok(()) } else { Err(PinLoss::OtherIncarnation) }
    }
}
