//! Two choices by latency: of two drawn by weight, the one that is expected to answer sooner.
//!
//! Finagle's `p2c` with `PeakEwma` load (Eriksen and others at Twitter), also in tower and linkerd: the load of an
//! upstream is its recent response time, times the requests that it would have in flight. The average rises to a
//! slower response at once and decays with a time constant, so an upstream that pauses to collect garbage gets no more
//! requests from its first slow response on. Two choices (Mitzenmacher, IEEE TPDS 12(10), 2001; see [`P2c`]) keep many
//! proxies from sending everything to the one that is fastest just now.
//!
//! Two departures from Finagle. Reading an average does not change it, so a response counts the same however often the
//! average was read before. And there are weights: upstreams are drawn by weight, and requests in flight count by
//! weight, but not the request to come: with (in flight + 1) / weight the heaviest upstream would win every tie of an
//! idle cluster.

use super::Policy;
use super::p2c::{P2c, lighter};
use super::params::{ParamError, Params, PolicyConfig, Span};
use super::random::scan;
use crate::cluster::{Cluster, Member, Session};
use crate::time::Timestamp;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct PeakEwmaConfig {
    decay: Duration,
    default_rtt: Duration,
}

impl Default for PeakEwmaConfig {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10), default_rtt: Duration::ZERO }
    }
}

impl PolicyConfig for PeakEwmaConfig {
    const PARAMS: &'static [&'static str] = &["decay", "default_rtt"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        let Self { decay, default_rtt } = Self::default();
        let lasting = |span: &Span| (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&span.0);
        let short = |span: &Span| span.0 <= Duration::from_secs(3600);
        let decay_range = "a time from 1ms to 24h, such as 10s or 500ms (a bare number is seconds)";
        let default_range = "a time from 0 to 1h, such as 30ms or 1s (a bare number is seconds)";
        Ok(Self {
            decay: params.take("decay", Span(decay), decay_range, lasting)?.0,
            default_rtt: params.take("default_rtt", Span(default_rtt), default_range, short)?.0,
        })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        Box::new(PeakEwma::new(cluster).decay(cluster, self.decay).default_rtt(self.default_rtt))
    }
}

/// The one of two drawn by weight that is expected to respond sooner. Costs what [`P2c`] costs, and an exponential for
/// each.
///
/// Needs a host that calls [`Upstream::observe`](crate::Upstream::observe) at each response. Without one it is `p2c`.
///
/// An upstream that was never measured counts with the default response time, zero, so it is tried at once. Until its
/// first response it gets no more, unless both that were drawn are unmeasured; then the one with less in flight is
/// chosen. An average without observations decays to zero, so an upstream that was slow is tried again. That also
/// holds for an upstream that hangs: detecting that is for health checks. Among equally fast upstreams the one with
/// the oldest observation has decayed most, so at little load shares follow weights only roughly.
#[derive(Debug)]
pub struct PeakEwma {
    pairs: P2c,
    mean_weight: f32,
    default_rtt: f32,
}

impl PeakEwma {
    /// For `cluster`, with a time constant of 10 seconds. From now on its upstreams keep their
    /// [latency](crate::Upstream::latency).
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        let mean_weight = cluster.total_weight() as f32 / cluster.len() as f32;
        let default = PeakEwmaConfig::default();
        let policy = Self { pairs: P2c::new(cluster), mean_weight, default_rtt: 0.0 };
        policy.decay(cluster, default.decay).default_rtt(default.default_rtt)
    }

    /// With another time constant, to the millisecond: after it 37 % of a peak are left. It belongs to the upstreams,
    /// so the policy built last decides.
    #[must_use]
    pub fn decay(self, cluster: &Cluster, decay: Duration) -> Self {
        cluster.members().iter().for_each(|member| member.upstream().follow_latency(decay));
        self
    }

    /// Expects an upstream that was never measured to take this long.
    #[must_use]
    pub fn default_rtt(mut self, default_rtt: Duration) -> Self {
        self.default_rtt = default_rtt.as_secs_f32();
        self
    }

    /// Whether the member is unmeasured with requests in flight, and the expected response time of one more request.
    fn cost(&self, member: &Member, now: Timestamp) -> (bool, f32) {
        let in_flight = member.upstream().in_flight() as f32;
        // Requests in flight count by weight, the request to come does not: else the heaviest would win all ties.
        let queue = in_flight * self.mean_weight / f32::from(member.weight()) + 1.0;
        match member.upstream().latency_seconds(now) {
            Some(seconds) => (false, seconds * queue),
            None if in_flight == 0.0 => (false, self.default_rtt * queue),
            None => (true, queue),
        }
    }
}

impl Policy for PeakEwma {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let (a, b) = self.pairs.pair(session.session_id);
        match (cluster.accepts(a, session), cluster.accepts(b, session)) {
            (true, true) => {
                let cost = |index: usize| self.cost(&cluster.members()[index], session.now);
                let (ours, theirs) = (cost(b), cost(a));
                let sooner = ours < theirs || (ours == theirs && lighter(cluster, b, a, session));
                Some(if sooner { b } else { a })
            }
            (true, false) => Some(a),
            (false, true) => Some(b),
            (false, false) => scan(cluster, session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Lease;
    use crate::policy::conformance::{cluster, conforms, session};
    use std::collections::BTreeMap;

    conforms!(PeakEwma);

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);
    const MS: Duration = Duration::from_millis(1);

    /// Simulates an arrival every 20 ms for 200 s on ten upstreams that take 10 ms, the first 100 ms; counts those that
    /// each got.
    fn simulate(weights: [u16; 10], feed: bool) -> [usize; 10] {
        let cluster = cluster(&weights);
        let policy = PeakEwma::new(&cluster);
        let mut answers: BTreeMap<(Timestamp, u64), (Lease, Duration)> = BTreeMap::new();
        let mut counts = [0; 10];
        for arrival in 0..10_000 {
            let now = START.after(20 * MS * arrival as u32);
            let later = answers.split_off(&(now, 0));
            for ((at, _), (lease, took)) in std::mem::replace(&mut answers, later) {
                if feed {
                    lease.upstream().observe(took, at);
                }
            }
            let index = policy.place(&cluster, &Session { now, ..session(arrival) }).unwrap();
            let took = if index == 0 { 100 * MS } else { 10 * MS };
            answers.insert((now.after(took), arrival), (cluster.members()[index].lease().unwrap(), took));
            counts[index] += 1;
        }
        counts
    }

    #[test]
    fn a_slow_upstream_gets_less() {
        let counts = simulate([1; 10], true);
        assert!(counts[0] < 200, "{counts:?}");
        assert!(counts[1..].iter().all(|count| count.abs_diff(1100) < 150), "{counts:?}");
        // The control: at such low load requests in flight alone hardly tell upstreams apart.
        let unfed = simulate([1; 10], false);
        assert!(unfed[0] > 500, "{unfed:?}");
    }

    /// Roughly: among equals the average with the oldest observation has decayed most, which favours light upstreams.
    #[test]
    fn the_heavier_get_more() {
        let counts = simulate([2, 1, 1, 1, 2, 2, 2, 4, 4, 4], true);
        let of_weight = |range: std::ops::Range<usize>| counts[range].iter().sum::<usize>() as f64;
        let light = of_weight(1..4);
        assert!((1.4..2.2).contains(&(of_weight(4..7) / light)), "{counts:?}");
        assert!((2.0..4.4).contains(&(of_weight(7..10) / light)), "{counts:?}");
    }

    /// Of sessions for which both upstreams were drawn, how many of a hundred go to the first.
    fn first_of_two(cluster: &Cluster, policy: &PeakEwma, now: Timestamp) -> usize {
        let drawn_apart = (0..).map(session).filter(|s| {
            let (a, b) = policy.pairs.pair(s.session_id);
            a != b
        });
        drawn_apart.take(100).filter(|s| policy.place(cluster, &Session { now, ..*s }) == Some(0)).count()
    }

    #[test]
    fn a_peak_is_felt_at_once_and_forgotten_with_the_decay() {
        let cluster = cluster(&[1, 1]);
        let [first, second] = [0, 1].map(|index| cluster.members()[index].upstream());
        let policy = PeakEwma::new(&cluster).decay(&cluster, Duration::from_secs(2));
        first.observe(9 * MS, START);
        second.observe(10 * MS, START);
        assert_eq!(first_of_two(&cluster, &policy, START), 100);
        first.observe(1000 * MS, START);
        assert_eq!(first_of_two(&cluster, &policy, START), 0);
        // A peak of a hundred times is gone after ln 100 = 4.6 times the decay, as the other's answers go on.
        for (seconds, expected) in [(9, 0), (10, 100)] {
            let now = START.after(Duration::from_secs(seconds));
            second.observe(10 * MS, now);
            assert_eq!(first_of_two(&cluster, &policy, now), expected, "after {seconds} s");
        }
        // The control: with a longer decay it is not.
        let slow = PeakEwma::new(&cluster).decay(&cluster, Duration::from_secs(20));
        let now = START.after(Duration::from_secs(10));
        assert_eq!(first_of_two(&cluster, &slow, now), 0);
    }

    #[test]
    fn the_unmeasured_is_tried_at_once_and_not_flooded() {
        let cluster = cluster(&[1, 1]);
        let policy = PeakEwma::new(&cluster);
        let [first, second] = [0, 1].map(|index| &cluster.members()[index]);
        second.upstream().observe(10 * MS, START);
        let _busy: Vec<Lease> = (0..50).map(|_| second.lease().unwrap()).collect();
        assert_eq!(first_of_two(&cluster, &policy, START), 100);
        let _tried = first.lease().unwrap();
        assert_eq!(first_of_two(&cluster, &policy, START), 0, "flooded");
        first.upstream().observe(10 * MS, START);
        assert_eq!(first_of_two(&cluster, &policy, START), 100);
    }

    #[test]
    fn what_the_unmeasured_is_expected_to_take_can_be_told() {
        let cluster = cluster(&[1, 1]);
        cluster.members()[1].upstream().follow_latency(Duration::from_secs(10));
        cluster.members()[1].upstream().observe(10 * MS, START);
        let expecting = |millis: u32| PeakEwma::new(&cluster).default_rtt(millis * MS);
        assert_eq!(first_of_two(&cluster, &expecting(9), START), 100);
        assert_eq!(first_of_two(&cluster, &expecting(11), START), 0);
    }

    #[test]
    fn its_parameters_are_times() {
        let entry = crate::policy::find("peak_ewma").unwrap();
        for good in ["10s", "500ms", "2", "0.5", "1.5m"] {
            assert!(entry.configure(Params::new().with("decay", good).with("default_rtt", good)).is_ok(), "{good}");
        }
        for bad in ["0", "25h", "-1s", "fast", "", "s", "nan", "inf", "1d"] {
            assert!(entry.configure(Params::new().with("decay", bad)).is_err(), "{bad}");
        }
    }
}
