//! What had passed to and from each upstream a minute or two ago, so that what is told of how quickly it answers is news.

use homing::cluster::{Cluster, Upstream, UpstreamId};
use homing::proxy::Traffic;
use homing::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What is told is of the last one or two of these.
const SPAN: Duration = Duration::from_secs(60);

/// The last two marks, a span apart.
#[derive(Default)]
pub(crate) struct Recent(Mutex<VecDeque<TrafficMark>>);

struct TrafficMark {
    at: Timestamp,
    /// Who has another address is another upstream of the same id.
    traffic: HashMap<UpstreamId, (Weak<Upstream>, Traffic)>,
}

impl Recent {
    /// To be called every few seconds.
    pub(crate) fn look(&self, at: Timestamp, cluster: &Cluster, traffic: impl Fn(&Upstream) -> Traffic) {
        let is_recent = |mark: &TrafficMark| mark.at <= at && at.since(mark.at) < SPAN;
        if self.0.lock().back().is_some_and(is_recent) {
            return;
        }
        let upstreams = cluster.members().iter().map(|member| member.upstream());
        let traffic = upstreams.map(|it| (it.id(), (Arc::downgrade(it), traffic(it)))).collect();
        let mut marks = self.0.lock();
        marks.push_back(TrafficMark { at, traffic });
        if marks.len() > 2 {
            marks.pop_front();
        }
    }

    /// Of what has passed in `total`, that which is recent: all, where nobody has looked.
    pub(crate) fn of(&self, upstream: &Upstream, total: &Traffic) -> Traffic {
        let marks = self.0.lock();
        let marked = marks.front().and_then(|mark| mark.traffic.get(&upstream.id()));
        match marked {
            Some((of, earlier)) if std::ptr::eq(of.as_ptr(), upstream) => total.since(earlier),
            _ => total.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use homing::{Balancer, Change, UpstreamConfig};

    #[test]
    fn a_minute_or_two_are_recent() {
        let balancer = Balancer::builder().upstream(UpstreamConfig::new("a", "a:1")).build().unwrap();
        let upstream = || Arc::clone(balancer.cluster().find_name("a").unwrap().upstream());
        let first = upstream();
        let recent = Recent::default();
        let answered = |count: u64| Traffic::of_answers(count, Duration::from_millis(1));
        let look = |second: u64| {
            recent.look(Timestamp::from_secs(second), &balancer.cluster(), |_| answered(second));
        };
        // One answer a second.
        let told = |upstream: &Upstream, second: u64| recent.of(upstream, &answered(second)).responses();
        assert_eq!(told(&first, 30), 30, "nobody has looked");
        (0..=60).step_by(5).for_each(look);
        assert_eq!(told(&first, 62), 62);
        (65..=1200).step_by(5).for_each(look);
        assert_eq!((told(&first, 1200), told(&first, 1259)), (60, 119));

        balancer.apply(balancer.plan(&[Change::Put(UpstreamConfig::new("a", "a:2"))]).unwrap()).unwrap();
        assert_eq!(told(&upstream(), 7), 7, "another of the same name");
        // A clock that went back is believed.
        (100..=220).step_by(5).for_each(look);
        assert_eq!(told(&upstream(), 220), 60);
    }
}
