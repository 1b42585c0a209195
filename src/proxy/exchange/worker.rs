//! What all connections of a worker share, and what one connection keeps.

use super::queue::Queue;
use super::retry_budget::RetryBudget;
use crate::balancer::Balancer;
use crate::cluster::Upstream;
use crate::health::Outcome;
use crate::http::{CookieSpec, RequestKey, TrustedProxies};
use crate::proxy::local_reply::LocalReplyCounts;
use crate::proxy::settings::{Limits, Timeouts};
use crate::proxy::tunnel::drain_notification::DrainNotification;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::statistics::StatisticsRegistry;
use crate::time::Clock;
use arc_swap::ArcSwap;
use http::HeaderName;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The settings that a client connection keeps from its beginning to its end. A reload is one pointer, for
/// connections to come.
#[derive(Debug)]
pub(crate) struct ConnectionSettings {
    /// `None` where the balancer has no affinity.
    pub(crate) cookie: Option<CookieSpec>,
    pub(crate) key: RequestKey,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) lost_header: Option<HeaderName>,
}

/// What all connections of a worker share. The pool is the worker's own, all else is every worker's.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) balancer: Arc<Balancer>,
    /// Those of connections to come.
    pub(crate) settings: Arc<ArcSwap<ConnectionSettings>>,
    pub(crate) local_replies: Arc<LocalReplyCounts>,
    pub(crate) retries: Arc<RetryBudget>,
    pub(crate) queue: Arc<Queue>,
    /// How many health checkers run.
    pub(crate) health_checkers: Arc<AtomicUsize>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) drain_notification: Arc<DrainNotification>,
    pub(crate) statistics: Arc<StatisticsRegistry>,
    /// This worker's number in the statistics.
    pub(crate) number: usize,
}

impl Worker {
    /// Reports an outcome, only while a health checker runs: an ejected upstream would otherwise never recover.
    pub(crate) fn report(&self, upstream: &Upstream, outcome: Outcome) {
        if self.health_checkers.load(Ordering::Relaxed) > 0 {
            self.balancer.report_at(upstream, outcome, || self.clock.now());
        }
    }

    /// A worker with a connection pool and statistics of its own.
    pub(crate) fn another(&self) -> Self {
        let Self { balancer, settings, local_replies, retries, queue, health_checkers, clock, .. } = self;
        Self {
            balancer: Arc::clone(balancer),
            settings: Arc::clone(settings),
            local_replies: Arc::clone(local_replies),
            retries: Arc::clone(retries),
            queue: Arc::clone(queue),
            health_checkers: Arc::clone(health_checkers),
            clock: Arc::clone(clock),
            pool: Pool::new(settings.load().timeouts.idle),
            drain_notification: Arc::clone(&self.drain_notification),
            statistics: Arc::clone(&self.statistics),
            number: self.statistics.add_worker(),
        }
    }
}
