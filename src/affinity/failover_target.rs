//! The failover target of a displaced session: the first accepting upstream in the session's own rendezvous order
//! (`cluster/order.rs`), which is the same on every proxy.

use crate::cluster::{Cluster, Session};

/// The index of the accepting upstream that comes first in the session's order. One hash and one logarithm an
/// upstream; it runs once when a session moves.
pub(crate) fn failover_target(cluster: &Cluster, session: &Session<'_>) -> Option<usize> {
    cluster.first_in_order(session.session_id, |index| cluster.accepts(index, session))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Availability;
    use crate::policy::conformance::{cluster, session};

    #[test]
    fn the_order_of_upstreams_in_the_configuration_does_not_matter() {
        let whole = cluster(&[1, 2, 3, 4]);
        let part = cluster(&[1, 2, 3, 4, 9]);
        part.members()[4].upstream().set_availability(Availability::DOWN);
        for session_id in 0..1000 {
            assert_eq!(failover_target(&whole, &session(session_id)), failover_target(&part, &session(session_id)));
        }
    }

    #[test]
    fn only_the_sessions_of_the_dead_move_and_they_spread_by_weight() {
        let cluster = cluster(&[1, 1, 2, 4]);
        let before: Vec<_> = (0..40_000).map(|n| failover_target(&cluster, &session(n)).unwrap()).collect();
        cluster.members()[1].upstream().set_availability(Availability::DOWN);
        let mut taken = [0_f64; 4];
        for (session_id, before) in (0..).zip(before) {
            let after = failover_target(&cluster, &session(session_id)).unwrap();
            if before == 1 {
                taken[after] += 1.0;
            } else {
                assert_eq!(after, before, "a session moved though its upstream lives");
            }
        }
        let moved: f64 = taken.iter().sum();
        assert!((moved - 5000.0).abs() < 350.0, "an eighth of all were on it: {moved}");
        for (share, weight) in taken.iter().zip([1.0, 0.0, 2.0, 4.0]) {
            assert!((share / moved - weight / 7.0).abs() < 0.03, "{taken:?}");
        }
    }
}
