//! The traffic of each upstream over the last minute or two, so that quantiles of response times are recent.

use homing::cluster::{Cluster, Upstream, UpstreamId};
use homing::proxy::Traffic;
use homing::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Recent traffic is that of the last one or two spans.
const SPAN: Duration = Duration::from_secs(60);

/// The last two marks, a span apart.
#[derive(Default)]
pub(crate) struct Recent(Mutex<VecDeque<TrafficMark>>);

struct TrafficMark {
    at: Timestamp,
    /// An upstream whose address changed is another one of the same id: hence the pointer.
    traffic: HashMap<UpstreamId, (Weak<Upstream>, Traffic)>,
}

impl Recent {
    /// To be called every few seconds.
    pub(crate) fn sample(&self, at: Timestamp, cluster: &Cluster, traffic: impl Fn(&Upstream) -> Traffic) {
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

    /// The recent part of `total`: all of it, where no sample was taken.
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
        let traffic = |count: u64| Traffic::of_answers(count, Duration::from_millis(1));
        let sample = |second: u64| {
            recent.sample(Timestamp::from_secs(second), &balancer.cluster(), |_| traffic(second));
        };
        // One response a second.
        let recent_responses = |upstream: &Upstream, second: u64| recent.of(upstream, &traffic(second)).responses();
        assert_eq!(recent_responses(&first, 30), 30, "no sample was taken");
        (0..=60).step_by(5).for_each(sample);
        assert_eq!(recent_responses(&first, 62), 62);
        (65..=1200).step_by(5).for_each(sample);
        assert_eq!((recent_responses(&first, 1200), recent_responses(&first, 1259)), (60, 119));

        balancer.apply(balancer.plan(&[Change::Put(UpstreamConfig::new("a", "a:2"))]).unwrap()).unwrap();
        assert_eq!(recent_responses(&upstream(), 7), 7, "another of the same name");
        // A clock that jumps back begins anew.
        (100..=220).step_by(5).for_each(sample);
        assert_eq!(recent_responses(&upstream(), 220), 60);
    }
}
