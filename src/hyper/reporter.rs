//! Outcomes and time, as the balancer learns them from a service without tasks of its own.

use crate::balancer::Balancer;
use crate::cluster::Upstream;
use crate::health::Outcome;
use crate::time::{Clock, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The least time from one tick to the next, in milliseconds.
const TICK: u64 = 100;

/// Reports outcomes to the balancer, and lets time pass for it. Clones share the time of the last tick.
#[derive(Clone, Debug)]
pub(super) struct Reporter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    balancer: Arc<Balancer>,
    clock: Arc<dyn Clock>,
    /// The time of the last tick, in milliseconds since the epoch.
    last_tick: AtomicU64,
}

impl Reporter {
    pub(super) fn new(balancer: Arc<Balancer>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { balancer, clock, last_tick: AtomicU64::new(0) }))
    }

    pub(super) fn report(&self, upstream: &Upstream, outcome: Outcome) {
        self.0.balancer.report_at(upstream, outcome, || self.0.clock.now());
    }

    /// The time of a request. Requests drive [`Balancer::tick`]: without ticks an ejected upstream would never return,
    /// and a service has no task that could tick for it. Without requests no tick is missed: time is evaluated before
    /// the next pick.
    pub(super) fn now(&self) -> Timestamp {
        let Shared { balancer, clock, last_tick } = &*self.0;
        let now = clock.now();
        let last = last_tick.load(Ordering::Relaxed);
        // A clock that was set back ticks too.
        if now.as_millis().abs_diff(last) >= TICK
            && last_tick.compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            balancer.tick(now);
        }
        now
    }
}
