//! Least sessions: the fewest live sessions by weight, of a few drawn by weight or of all.
//!
//! A session costs its instance memory and threads for as long as its user stays, and requests in flight say little
//! about that: they are few, they come and go, and an instance that was just added looks like an idle old one. What
//! has to be even are live sessions ([`Upstream::live_sessions`](crate::Upstream::live_sessions)). A new upstream
//! fills as fast as sessions come, and no faster than its share: a few choices are nearly as good as all
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001), and unlike all
//! they send only a part of the sessions to the emptiest.
//!
//! A session counts from its placement on, so a burst of them spreads. A proxy that has just started has seen no
//! session: until its clients' requests have shown which upstream holds which, requests in flight decide, then chance
//! by weight.

use super::Policy;
use super::params::{ParamError, Params, PolicyConfig};
use super::random::{Random, stream};
use crate::cluster::{Cluster, Session};
use std::str::FromStr;

/// The most upstreams that can be drawn for a session, short of all.
const MAX_CHOICES: usize = 16;

/// How many upstreams a session chooses from.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeastSessionsConfig {
    /// `usize::MAX` is all.
    choices: usize,
}

impl PolicyConfig for LeastSessionsConfig {
    const PARAMS: &'static [&'static str] = &["d"];

    fn read(params: &mut Params) -> Result<Self, ParamError> {
        let Choices(choices) = params.take("d", Choices(3), "a number of choices, 2 to 16, or \"all\"", |_| true)?;
        Ok(Self { choices })
    }

    fn build(&self, cluster: &Cluster) -> Box<dyn Policy> {
        Box::new(LeastSessions::new(cluster).choices(self.choices))
    }
}

struct Choices(usize);

impl FromStr for Choices {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self(usize::MAX)),
            (_, Ok(choices @ 2..=MAX_CHOICES)) => Ok(Self(choices)),
            _ => Err(()),
        }
    }
}

/// The fewest live sessions by weight among some drawn by weight; of equals the one with less in flight.
///
/// An upstream has at least as many sessions as it has requests and tunnels in flight, whatever was counted: a
/// WebSocket of hours is a session that sends no request. A pick reads two table entries and two counters a choice.
#[derive(Debug)]
pub struct LeastSessions {
    table: Random,
    choices: usize,
}

impl LeastSessions {
    /// Three choices a session in `cluster`; builds a table in time linear in its size.
    #[must_use]
    pub fn new(cluster: &Cluster) -> Self {
        Self { table: Random::new(cluster), choices: 3 }
    }

    /// With another number of choices, 2 to 16; above, and where there are no more upstreams than choices, it is
    /// exact: one scan of the cluster's counters a pick.
    #[must_use]
    pub fn choices(mut self, choices: usize) -> Self {
        self.choices = choices.max(2);
        self
    }

    /// Different upstreams drawn by weight, as many as are to be chosen from where the weights let them be drawn apart
    /// within twice as many draws.
    fn draw(&self, session_id: u64) -> ([usize; MAX_CHOICES], usize) {
        let (mut drawn, mut count) = ([0; MAX_CHOICES], 0);
        for n in 0..2 * self.choices as u64 {
            let index = self.table.draw(stream(session_id, n));
            if !drawn[..count].contains(&index) {
                drawn[count] = index;
                count += 1;
                if count == self.choices {
                    break;
                }
            }
        }
        (drawn, count)
    }
}

impl Policy for LeastSessions {
    fn place(&self, cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
        let all = || {
            // Starts at random, so that equals share by weight.
            let start = self.table.draw(stream(session.session_id, 0));
            least(cluster, session, (start..cluster.len()).chain(0..start))
        };
        if self.choices > MAX_CHOICES || self.choices >= cluster.len() {
            return all();
        }
        let (drawn, count) = self.draw(session.session_id);
        least(cluster, session, drawn[..count].iter().copied()).or_else(all)
    }
}

/// The one of `indices` that has the fewest sessions by weight of those that accept, the first of equals.
fn least(cluster: &Cluster, session: &Session<'_>, indices: impl Iterator<Item = usize>) -> Option<usize> {
    let mut best: Option<(usize, Load)> = None;
    for index in indices {
        let load = Load::of(cluster, index, session);
        if best.as_ref().is_none_or(|(_, least)| load.lighter(least)) && cluster.accepts(index, session) {
            best = Some((index, load));
        }
    }
    best.map(|(index, _)| index)
}

struct Load {
    sessions: u64,
    in_flight: u64,
    weight: u64,
}

impl Load {
    fn of(cluster: &Cluster, index: usize, session: &Session<'_>) -> Self {
        let member = &cluster.members()[index];
        let in_flight = member.upstream().in_flight();
        let sessions = member.upstream().live_sessions(session.now).max(in_flight);
        Self { sessions: sessions.into(), in_flight: in_flight.into(), weight: member.weight().into() }
    }

    /// Less by weight, by cross-multiplication: 32 bits times 16 fit.
    fn lighter(&self, other: &Self) -> bool {
        let ours = (self.sessions * other.weight, self.in_flight * other.weight);
        ours < (other.sessions * self.weight, other.in_flight * self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::policy::conformance::{cluster, conforms, counting_cluster, session};
    use crate::policy::{Params, find};
    use proptest::prelude::*;

    conforms!(LeastSessions);

    mod exact {
        use super::*;

        struct Exact;

        impl Exact {
            #[expect(clippy::new_ret_no_self, reason = "what the suite calls")]
            fn new(cluster: &Cluster) -> LeastSessions {
                LeastSessions::new(cluster).choices(usize::MAX)
            }
        }

        conforms!(Exact);
    }

    /// Puts `count` sessions on the upstream at `index`.
    fn settle(cluster: &Cluster, index: usize, count: u64, now: Timestamp) {
        let upstream = cluster.members()[index].upstream();
        (0..count).for_each(|n| upstream.touch(session((index as u64) << 32 | n).session_id, now));
    }

    #[test]
    fn a_burst_spreads_by_weight_since_each_counts_at_once() {
        for choices in [2, 3, usize::MAX] {
            let cluster = counting_cluster(&[1, 1, 1, 1, 1, 1, 1, 1, 4, 4]);
            let policy = LeastSessions::new(&cluster).choices(choices);
            let mut counts = [0_u32; 10];
            for session_id in 0..1600 {
                let session = session(session_id);
                let index = policy.place(&cluster, &session).unwrap();
                cluster.members()[index].upstream().touch(session.session_id, session.now);
                counts[index] += 1;
            }
            // What is even is the estimate, and that is right to a few percent.
            let near = |counts: &[u32], share: u32| counts.iter().all(|n| n.abs_diff(share) <= share / 8);
            assert!(near(&counts[..8], 100) && near(&counts[8..], 400), "{choices}: {counts:?}");
        }
    }

    #[test]
    fn the_control_a_burst_that_does_not_count_herds() {
        let cluster = counting_cluster(&[1; 10]);
        for index in 1..10 {
            settle(&cluster, index, 5, session(0).now);
        }
        let policy = LeastSessions::new(&cluster).choices(usize::MAX);
        assert!((0..1000).all(|session_id| policy.place(&cluster, &session(session_id)) == Some(0)));
    }

    #[test]
    fn those_who_left_no_longer_count() {
        let cluster = counting_cluster(&[1, 1]);
        let policy = LeastSessions::new(&cluster);
        let now = session(0).now;
        settle(&cluster, 0, 100, now);
        settle(&cluster, 1, 10, now);
        assert_eq!(policy.place(&cluster, &session(1)), Some(1));
        let later = now.after(std::time::Duration::from_secs(600));
        settle(&cluster, 1, 10, later);
        assert_eq!(policy.place(&cluster, &Session { now: later, ..session(1) }), Some(0));
    }

    #[test]
    fn what_is_in_flight_decides_while_nobody_is_known_and_among_equals() {
        let cluster = counting_cluster(&[1, 1, 1]);
        let policy = LeastSessions::new(&cluster);
        let _held = [0, 0, 1, 2].map(|index: usize| cluster.members()[index].lease().unwrap());
        let _more = cluster.members()[2].lease().unwrap();
        assert!((0..100).all(|session_id| policy.place(&cluster, &session(session_id)) == Some(1)));
        (0..3).for_each(|index| cluster.members()[index].upstream().touch(7, session(0).now));
        (0..3).for_each(|index| cluster.members()[index].upstream().touch(1 << 63, session(0).now));
        assert!((0..100).all(|session_id| policy.place(&cluster, &session(session_id)) == Some(1)));
    }

    #[test]
    fn tunnels_that_send_no_requests_are_sessions_too() {
        let cluster = counting_cluster(&[1, 1]);
        settle(&cluster, 0, 3, session(0).now);
        let _tunnels: Vec<_> = (0..5).map(|_| cluster.members()[1].lease().unwrap()).collect();
        assert_eq!(LeastSessions::new(&cluster).place(&cluster, &session(0)), Some(0));
    }

    #[test]
    fn the_choices_are_different_upstreams() {
        let policy = LeastSessions::new(&cluster(&[1; 30]));
        for session_id in 0..1000 {
            let (drawn, count) = policy.draw(session(session_id).session_id);
            assert_eq!(count, 3);
            assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2]);
        }
    }

    #[test]
    fn its_parameter_is_a_number_of_choices_or_all() {
        let configure = |d: &str| find("least_sessions").unwrap().configure(Params::new().with("d", d));
        assert!(["2", "3", "16", "all"].iter().all(|d| configure(d).is_ok()));
        for d in ["0", "1", "17", "-1", "every", ""] {
            let refusal = configure(d).err().unwrap().to_string();
            let expected =
                format!("the policy's parameter d cannot be {d:?}: use a number of choices, 2 to 16, or \"all\"");
            assert_eq!(refusal, expected);
        }
    }

    proptest! {
        /// Against the definition: of those it may choose from, nothing that accepts has fewer sessions by weight.
        #[test]
        fn nothing_lighter_was_passed_over(
            weights in prop::collection::vec(1_u16..100, 1..20),
            sessions in prop::collection::vec(0_u64..200, 20),
            down in prop::collection::vec(any::<bool>(), 20),
            choices in 2_usize..20,
            session_id: u64,
        ) {
            let cluster = counting_cluster(&weights);
            let session = session(session_id);
            for (index, member) in cluster.members().iter().enumerate() {
                settle(&cluster, index, sessions[index], session.now);
                if down[index] {
                    member.upstream().set_availability(crate::Availability::DOWN);
                }
            }
            let policy = LeastSessions::new(&cluster).choices(choices);
            let relative = |i: usize| {
                f64::from(cluster.members()[i].upstream().live_sessions(session.now)) / f64::from(weights[i])
            };
            let up = |indices: &[usize]| indices.iter().copied().filter(|i| !down[*i]).collect::<Vec<_>>();
            let everyone: Vec<usize> = (0..weights.len()).collect();
            let mut among = up(&everyone);
            if choices < weights.len() && choices <= MAX_CHOICES {
                let (drawn, count) = policy.draw(session.session_id);
                let drawn = up(&drawn[..count]);
                among = if drawn.is_empty() { among } else { drawn };
            }
            let least = among.iter().map(|i| relative(*i)).fold(f64::INFINITY, f64::min);
            match policy.place(&cluster, &session) {
                Some(index) => prop_assert!(among.contains(&index) && relative(index) <= least),
                None => prop_assert!(among.is_empty()),
            }
        }
    }
}
