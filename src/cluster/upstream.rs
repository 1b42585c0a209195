//! One upstream's shared cell: who it is, and what changes while it lives.

use super::guarded_sessions::GuardedSessions;
use super::indexed_load::{Availability, IndexedLoad};
use super::latency::Latency;
use super::lifecycle::Lifecycle;
use super::load_index::LoadIndex;
use super::outcome_counters::OutcomeCounters;
use super::sessions::Sessions;
use super::sketch::Sketch;
use super::{Decision, PinLoss, UpstreamId};
use crate::hash::mix64;
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

/// One instance that serves requests.
///
/// Shared by every [`Cluster`](super::Cluster) it belongs to, so counts and health survive changes to the
/// others. All methods take `&self`, are safe from any thread and cost one relaxed atomic operation unless they say
/// otherwise.
///
/// What a pick reads comes first, in one cache line, and nobody else's data shares it: picks write there. The
/// alignment is two lines, since x86-64 prefetches adjacent lines in pairs.
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
    /// The usual decision is not counted one by one: it is what the others leave of the total.
    usual: Decision,
    name: Box<str>,
    address: Box<str>,
    /// By [`Decision::index`].
    decisions: [AtomicU64; Decision::COUNT],
    guarded: GuardedSessions,
}

impl Upstream {
    /// With a `window` (a power of two of seconds) there is affinity: live sessions are counted, and most picks are
    /// pinned. Without, every request is a session of its own and most picks are new. Leases move it on `board`.
    pub(crate) fn new(
        name: &str,
        address: &str,
        id: UpstreamId,
        window: Option<u8>,
        load_index: Arc<LoadIndex>,
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
        }
    }

    /// Its name, unique in the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is reached, as configured; the core does not interpret it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What tokens call it.
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

    /// Requests leased in the second of `now`, approximately: what breaks ties between equal loads.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> u64 {
        self.indexed_load.load().recent(now)
    }

    /// Tells how long it took to answer at `now`: from the request's sending to the head of its response, say. What
    /// `peak_ewma` goes by. Costs one look where no such policy is in force, an exponential and two atomic operations
    /// where it is.
    pub fn observe(&self, latency: Duration, now: Timestamp) {
        self.latency.observe(latency, now);
    }

    /// Whether anybody goes by what is [observed](Self::observe), so that a host can spare itself the measuring.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.latency.is_followed()
    }

    /// What it is expected to take to answer, by what was [observed](Self::observe): an average that feels a slower
    /// answer at once and forgets it with the policy's decay. `None` where no policy asks for it or nothing was observed.
    #[must_use]
    pub fn latency(&self, now: Timestamp) -> Option<Duration> {
        self.latency_seconds(now).and_then(|seconds| Duration::try_from_secs_f32(seconds).ok())
    }

    pub(crate) fn latency_seconds(&self, now: Timestamp) -> Option<f32> {
        self.latency.seconds(now)
    }

    /// Lets what is observed count from now on, with this time constant.
    pub(crate) fn follow_latency(&self, decay: Duration) {
        self.latency.follow(decay);
    }

    /// About how many sessions live here: those with a request in the current or the last
    /// [window](crate::affinity::AffinityBuilder::live_window), as far as this proxy has seen them or was
    /// [told of them](Self::absorb).
    ///
    /// A tunnel is one request, however long it lives. Who only has a WebSocket open counts here while it is
    /// [held](Self::guard_session), as the hyper adapter does.
    ///
    /// Right to some 1 % up to a thousand and 2 % up to ten thousand, by linear counting over session ids; ends at 36,514.
    /// Always 0 without affinity, where every request is a session of its own.
    #[must_use]
    pub fn live_sessions(&self, now: Timestamp) -> u32 {
        self.sessions.estimate(now)
    }

    pub(super) fn guarded(&self) -> &GuardedSessions {
        &self.guarded
    }

    /// Whether the session of `session_id` is [held](Self::guard_session), or was just now.
    pub(crate) fn is_guarded(&self, session_id: u64) -> bool {
        self.guarded.has(session_id)
    }

    /// How many sessions are [held](Self::guard_session), or were just now.
    pub(crate) fn guarded_sessions(&self) -> usize {
        self.guarded.count()
    }

    /// Counts all sessions that are [held](Self::guard_session) as live at `now`.
    pub(crate) fn touch_guarded(&self, now: Timestamp) {
        self.guarded.touch(&self.sessions, now);
    }

    /// What this proxy knows of the sessions that live here, for other proxies of the pool to [absorb](Self::absorb). Costs a
    /// look at 1.4 kB.
    #[must_use]
    pub fn sketch(&self, now: Timestamp) -> Sketch {
        self.sessions.sketch(now)
    }

    /// Takes over what another proxy knows of the sessions that live here, so that [`live_sessions`](Self::live_sessions) is what
    /// one would count who had seen the requests of both. In any order, as often as wanted, while requests are counted.
    ///
    /// `false` where the other's clock has begun a window that this one's has not: absorb it again when it has, or a later one.
    /// Nothing is taken of sketches of other windows' lengths, nor of moments that are no more or not yet of interest here.
    pub fn absorb(&self, sketch: &Sketch, now: Timestamp) -> bool {
        self.sessions.absorb(sketch, now)
    }

    /// Counts the session of `session_id` as live at `now`.
    pub(crate) fn touch(&self, session_id: u64, now: Timestamp) {
        self.sessions.touch(session_id, now);
    }

    /// As [`live_sessions`](Self::live_sessions), less those that were [moved away](Self::move_away) and would be counted until
    /// their windows are over.
    pub(crate) fn resident_sessions(&self, now: Timestamp) -> u32 {
        self.sessions.estimate(now).saturating_sub(self.sessions.moved(now))
    }

    /// Whether sessions [moved away](Self::move_away) in this window or the last.
    pub(crate) fn is_leaving(&self, now: Timestamp) -> bool {
        self.sessions.moved(now) > 0
    }

    /// The session of `session_id` does not live here any more.
    pub(crate) fn move_away(&self, session_id: u64, now: Timestamp) {
        self.sessions.move_away(session_id, now);
    }

    /// The verdicts in force.
    #[must_use]
    pub fn availability(&self) -> Availability {
        self.indexed_load.availability()
    }

    /// Changes the verdicts; picks that begin afterwards follow them. What does not serve accepts nothing either,
    /// whatever `accepting` says: a session placed there would be lost at its next request.
    pub fn set_availability(&self, availability: Availability) {
        self.indexed_load.set_availability(availability);
    }

    /// The number of the process now behind this upstream; 0 while it is unknown.
    #[must_use]
    pub fn incarnation(&self) -> u16 {
        self.incarnation.load(Ordering::Relaxed)
    }

    /// Says which process is behind this upstream now. A session whose token carries another number has lost its
    /// in-memory state, and its next decision says [`PinLoss::OtherIncarnation`].
    pub fn set_incarnation(&self, incarnation: u16) {
        self.incarnation.store(incarnation, Ordering::Relaxed);
    }

    /// How many picks of this upstream were decided this way.
    ///
    /// The usual decision (pinned with affinity, new without) is the total less all others, so a reader that races
    /// with picks may be off by those under way.
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

    /// Counts a pick that was decided this way.
    pub(crate) fn note(&self, decision: Decision) {
        if decision != self.usual {
            self.decisions[decision.index()].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When the session of `session_id` has to leave, where an operator [drains](crate::Balancer::drain) this upstream and
    /// gave a deadline: then, or at a moment of its own within the spread that follows. The same on every proxy.
    #[must_use]
    pub fn drain_deadline(&self, session_id: u64) -> Option<Timestamp> {
        // Nobody drains most of the time, and every pinned pick asks.
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

    /// Whether a token that was issued under `incarnation` still finds its process. Unknown (0) on either side
    /// proves nothing, and a pin is only broken on proof.
    pub(crate) fn is_incarnation(&self, incarnation: u16) -> Result<(), PinLoss> {
        let current = self.incarnation();
        if current == incarnation || current == 0 || incarnation == 0 { Ok(()) } else { Err(PinLoss::OtherIncarnation) }
    }
}
