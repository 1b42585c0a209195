//! The health checker: probes the upstreams, lets time pass for their health, logs its events, and announces drain
//! deadlines to tunnels.

use super::probe::Prober;
use crate::cluster::{Generation, IdMap, Upstream};
use crate::hash::mix64;
use crate::health::{Event, EventKind, ProbeResult, State, Subscription};
use crate::proxy::exchange::worker::Worker;
use crate::proxy::settings::ProbeSettings;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The `tracing` target of events about upstreams: warnings where one goes down or panic mode begins, information
/// otherwise.
pub const HEALTH_TARGET: &str = "homing::health";

/// From one tick of the balancer to the next.
const TICK: Duration = Duration::from_millis(100);
/// The most probes that run at once.
const MAX_PROBES: usize = 512;
/// The least interval for an upstream that fails.
const MIN_FAILING_INTERVAL: Duration = Duration::from_millis(250);
/// Intervals outside of these bounds are clamped.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks the upstreams of a worker's balancer until `shutdown` completes.
pub(crate) async fn run(worker: Arc<Worker>, probes: Option<ProbeSettings>, shutdown: impl Future<Output = ()>) {
    let mut checker = HealthChecker::new(worker, probes);
    let mut shutdown = pin!(shutdown);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut goes_on = |cx: &mut Context<'_>| match shutdown.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending => ticks.poll_tick(cx).map(|_| true),
    };
    while poll_fn(&mut goes_on).await {
        checker.tick();
    }
}

struct HealthChecker {
    worker: Arc<Worker>,
    events: Subscription,
    missed: u64,
    /// A hash of all drain deadlines.
    deadlines: u64,
    probes: Option<Arc<ProbeSettings>>,
    at_once: Arc<Semaphore>,
    tasks: JoinSet<()>,
    /// The cluster whose upstreams are probed.
    generation: Option<Generation>,
    probed: IdMap<(Arc<Upstream>, AbortHandle)>,
}

impl HealthChecker {
    fn new(worker: Arc<Worker>, probes: Option<ProbeSettings>) -> Self {
        worker.health_checkers.fetch_add(1, Ordering::Relaxed);
        if probes.is_none() {
            worker.balancer.forget_probes();
        }
        Self {
            events: worker.balancer.subscribe(),
            worker,
            missed: 0,
            deadlines: 0,
            probes: probes.map(Arc::new),
            at_once: Arc::new(Semaphore::new(MAX_PROBES)),
            tasks: JoinSet::new(),
            generation: None,
            probed: IdMap::default(),
        }
    }

    fn tick(&mut self) {
        self.follow_membership();
        self.worker.balancer.tick(self.worker.clock.now());
        while let Some(event) = self.events.poll() {
            log_event(&event);
        }
        let cluster = self.worker.balancer.cluster();
        let all_deadlines = cluster.members().iter().filter_map(|member| member.upstream().drain_deadline(0));
        let deadlines = all_deadlines.fold(0, |all, deadline| mix64(all ^ deadline.as_millis()));
        if std::mem::replace(&mut self.deadlines, deadlines) != deadlines {
            self.worker.drain_notification.changed();
        }
        let missed = self.events.missed();
        if missed != self.missed {
            tracing::warn!(target: HEALTH_TARGET, "{} events were missed", missed - self.missed);
            self.missed = missed;
        }
    }

    /// Starts to probe upstreams that have joined, and stops for those that have left.
    fn follow_membership(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let Some(settings) = &self.probes else { return };
        let generation = self.worker.balancer.generation();
        if self.generation.replace(generation) == Some(generation) {
            return;
        }
        let cluster = self.worker.balancer.cluster();
        self.probed.retain(|id, (upstream, task)| {
            let stays = cluster.find(*id).is_some_and(|member| Arc::ptr_eq(member.upstream(), upstream));
            if !stays {
                task.abort();
            }
            stays
        });
        for member in cluster.members() {
            let upstream = member.upstream();
            self.probed.entry(upstream.id()).or_insert_with(|| {
                let prober = Prober::new(Arc::clone(upstream), Arc::clone(settings));
                let task = probe(prober, Arc::clone(settings), Arc::clone(&self.worker), Arc::clone(&self.at_once));
                (Arc::clone(upstream), self.tasks.spawn(task))
            });
        }
    }
}

impl Drop for HealthChecker {
    fn drop(&mut self) {
        self.worker.health_checkers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Probes one upstream at intervals. The first probes of all upstreams are spread over an interval.
async fn probe(mut prober: Prober, settings: Arc<ProbeSettings>, worker: Arc<Worker>, at_once: Arc<Semaphore>) {
    let seed = prober.upstream().id().as_u64();
    let usual = settings.interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
    let mut pause = usual.mul_f64(jitter(seed, &worker));
    loop {
        sleep(pause).await;
        let Ok(permit) = at_once.acquire().await else { return };
        let finding = prober.probe().await;
        drop(permit);
        let (upstream, now) = (prober.upstream(), worker.clock.now());
        if let Some(incarnation) = finding.incarnation {
            worker.balancer.set_incarnation(upstream, incarnation, now);
        }
        if let Some(result) = finding.result {
            tracing::trace!(target: HEALTH_TARGET, upstream = upstream.name(), ?result, "probed");
            worker.balancer.probe(upstream.id(), result, now);
        }
        let is_well = matches!(finding.result, None | Some(ProbeResult::Passed | ProbeResult::Full));
        let interval = match is_well && upstream.availability().serving {
            true => usual,
            false => usual.min(MIN_FAILING_INTERVAL.max(usual / 4)),
        };
        pause = interval.mul_f64(0.85 + 0.3 * jitter(seed, &worker));
    }
}

/// A pseudo-random number from 0 to 1, another at each moment and for each upstream.
fn jitter(seed: u64, worker: &Worker) -> f64 {
    (mix64(seed ^ mix64(worker.clock.now().as_millis())) >> 11) as f64 / (1_u64 << 53) as f64
}

fn log_event(event: &Event) {
    match event.kind {
        EventKind::Changed { to: State::Down, .. } | EventKind::PanicBegan => {
            tracing::warn!(target: HEALTH_TARGET, "{event}");
        }
        _ => tracing::info!(target: HEALTH_TARGET, "{event}"),
    }
}
