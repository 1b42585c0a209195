//! Looks after the upstreams while a proxy runs: probes them, lets time pass for what is thought of them, and tells what
//! happens.

use super::probe::Prober;
use crate::cluster::{Generation, IdMap, Upstream};
use crate::hash::mix64;
use crate::health::{Event, EventKind, ProbeResult, State, Subscription};
use crate::proxy::proxy::Shared;
use crate::proxy::{ProbeSettings, Proxy};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The `tracing` target of events about upstreams: warnings where one goes down or judgements are ignored, information
/// otherwise.
pub const HEALTH_TARGET: &str = "homing::health";

/// How often time passes.
const TICK: Duration = Duration::from_millis(100);
/// Probes under way at once.
const AT_ONCE: usize = 512;
/// An upstream that fails is not probed more often.
const QUICKEST: Duration = Duration::from_millis(250);
/// Intervals that are shorter or longer than this are taken for it.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_hours(24);

impl Proxy {
    /// Looks after the upstreams until `shutdown` completes. Spawn it once for all workers, on a runtime that lives as
    /// long as the proxy.
    ///
    /// It probes every upstream, those too that join later, where there are settings for that; calls
    /// [`Balancer::tick`](crate::Balancer::tick) ten times a second; and writes every event to
    /// [`HEALTH_TARGET`].
    ///
    /// While it runs, requests report how they fared and upstreams are judged by that. Without it they are not: nobody
    /// would ever notice that one that was down is back.
    pub fn run_health_checks<F>(
        &self,
        probes: Option<ProbeSettings>,
        shutdown: F,
    ) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        let shared = Arc::clone(self.shared());
        async move {
            let mut keeper = Keeper::new(shared, probes);
            let mut shutdown = pin!(shutdown);
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut goes_on = |cx: &mut Context<'_>| match shutdown.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(false),
                Poll::Pending => ticks.poll_tick(cx).map(|_| true),
            };
            while poll_fn(&mut goes_on).await {
                keeper.tick();
            }
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
    events: Subscription,
    missed: u64,
    /// Stands for the moments at which tunnels are to leave.
    departures: u64,
    probes: Option<Arc<ProbeSettings>>,
    at_once: Arc<Semaphore>,
    tasks: JoinSet<()>,
    /// The cluster whose upstreams are probed.
    generation: Option<Generation>,
    probed: IdMap<(Arc<Upstream>, AbortHandle)>,
}

impl Keeper {
    fn new(shared: Arc<Shared>, probes: Option<ProbeSettings>) -> Self {
        shared.keepers.fetch_add(1, Ordering::Relaxed);
        if probes.is_none() {
            shared.balancer.forget_probes();
        }
        Self {
            events: shared.balancer.subscribe(),
            shared,
            missed: 0,
            departures: 0,
            probes: probes.map(Arc::new),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: JoinSet::new(),
            generation: None,
            probed: IdMap::default(),
        }
    }

    fn tick(&mut self) {
        self.follow();
        self.shared.balancer.tick(self.shared.clock.now());
        while let Some(event) = self.events.poll() {
            tell(&event);
        }
        let cluster = self.shared.balancer.cluster();
        let moments = cluster.members().iter().filter_map(|member| member.upstream().drain_deadline(0));
        let departures = moments.fold(0, |all, moment| mix64(all ^ moment.as_millis()));
        if std::mem::replace(&mut self.departures, departures) != departures {
            self.shared.departures.changed();
        }
        let missed = self.events.missed();
        if missed != self.missed {
            tracing::warn!(target: HEALTH_TARGET, "{} events were missed", missed - self.missed);
            self.missed = missed;
        }
    }

    /// Begins to probe whoever has joined, and leaves whoever has left.
    fn follow(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let Some(settings) = &self.probes else { return };
        let generation = self.shared.balancer.generation();
        if self.generation.replace(generation) == Some(generation) {
            return;
        }
        let cluster = self.shared.balancer.cluster();
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
                let task = probe(prober, Arc::clone(settings), Arc::clone(&self.shared), Arc::clone(&self.at_once));
                (Arc::clone(upstream), self.tasks.spawn(task))
            });
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.keepers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Probes one upstream over and over. The first ones of all are spread over an interval.
async fn probe(mut prober: Prober, settings: Arc<ProbeSettings>, shared: Arc<Shared>, at_once: Arc<Semaphore>) {
    let seed = prober.upstream().id().as_u64();
    let usual = settings.interval.clamp(LEAST, MOST);
    let mut pause = usual.mul_f64(dice(seed, &shared));
    loop {
        sleep(pause).await;
        let Ok(permit) = at_once.acquire().await else { return };
        let finding = prober.probe().await;
        drop(permit);
        let (upstream, now) = (prober.upstream(), shared.clock.now());
        if let Some(incarnation) = finding.incarnation {
            shared.balancer.set_incarnation(upstream, incarnation, now);
        }
        if let Some(result) = finding.result {
            tracing::trace!(target: HEALTH_TARGET, upstream = upstream.name(), ?result, "probed");
            shared.balancer.probe(upstream.id(), result, now);
        }
        let is_well = matches!(finding.result, None | Some(ProbeResult::Passed | ProbeResult::Full));
        let interval = match is_well && upstream.availability().serving {
            true => usual,
            false => usual.min(QUICKEST.max(usual / 4)),
        };
        pause = interval.mul_f64(0.85 + 0.3 * dice(seed, &shared));
    }
}

/// From 0 to 1, another at each moment and for each upstream.
fn dice(seed: u64, shared: &Shared) -> f64 {
    (mix64(seed ^ mix64(shared.clock.now().as_millis())) >> 11) as f64 / (1_u64 << 53) as f64
}

fn tell(event: &Event) {
    match event.kind {
        EventKind::Changed { to: State::Down, .. } | EventKind::PanicBegan => {
            tracing::warn!(target: HEALTH_TARGET, "{event}");
        }
        _ => tracing::info!(target: HEALTH_TARGET, "{event}"),
    }
}
