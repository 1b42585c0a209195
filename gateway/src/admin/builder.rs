//! [`Admin`], and how it is built.

use super::api::token::BearerToken;
use super::context::{AdminContext, ReadKeys};
use super::service::AdminService;
use super::views::feed::Feed;
use super::views::history::{self, History};
use super::views::metrics::{Metrics, MetricsCollector};
use super::views::recent::Recent;
use super::views::reloads::Reloads;
use crate::roster::Roster;
use homing::cluster::Member;
use homing::proxy::Proxy;
use homing::time::{Clock, SystemClock};
use homing::{Balancer, KeyRing};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

/// The most event streams at once.
const MAX_STREAMS: usize = 64;

/// Shows and changes one balancer. Cheap to clone. See the [module](super) for an example.
#[derive(Clone)]
pub struct Admin {
    context: Arc<AdminContext>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("balancer", &self.context.balancer).finish_non_exhaustive()
    }
}

impl Admin {
    /// Begins to build one, for a [`Proxy`], or for a [`Balancer`] alone, which counts no traffic.
    pub fn builder(target: impl Into<AdminTarget>) -> AdminBuilder {
        AdminBuilder { target: target.into(), roster: None, token: None, keys: None, discovery: None }
    }

    /// The roster through which it makes changes. Where instances register themselves, the host has to
    /// [tick](Roster::tick) it.
    #[must_use]
    pub fn roster(&self) -> &Arc<Roster> {
        &self.context.roster
    }

    /// The hyper service of one connection, for hosts with a server of their own. `peer` is the address that is
    /// admitted or not, and that the audit log names.
    #[must_use]
    pub fn service(&self, peer: SocketAddr) -> AdminService {
        AdminService::new(Arc::clone(&self.context), peer)
    }

    /// Records that the host has put a configuration in force, or why it has refused one: an event, and from the first
    /// call on two metrics. The start counts as one.
    pub fn reloaded(&self, refusal: Option<&str>) {
        let AdminContext { balancer, clock, feed, reloads, .. } = &*self.context;
        let (now, generation) = (clock.now(), balancer.generation());
        let is_first = reloads.record(refusal.is_none(), now);
        match refusal {
            None if is_first => {}
            None => feed.changed(now, "reloaded", generation, "the configuration was reloaded"),
            Some(why) => {
                let text = format!("the configuration was refused, the old one stays in force: {why}");
                feed.changed(now, "reload_refused", generation, &text);
            }
        }
    }

    /// Samples all upstreams each 5 seconds, until it is dropped: their live sessions, for `GET /api/v1/history` and
    /// the chart of the dashboard, and their response times, whose quantiles are of the last minute or two. Spawn it
    /// once, on a runtime with a timer; without it the history is empty, and the quantiles are of all responses since
    /// the start.
    ///
    /// It keeps an hour in at most 2 MiB, with fewer samples where there are more than 728 upstreams, and 1.5 KiB more
    /// for each upstream.
    pub async fn keep_history(&self) {
        let AdminContext { balancer, proxy, clock, history, recent, .. } = &*self.context;
        let mut samples = interval(history::INTERVAL);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            samples.tick().await;
            let (now, cluster) = (clock.now(), balancer.cluster());
            let upstreams = cluster.members().iter().map(Member::upstream);
            history.sample(now, upstreams.map(|upstream| (upstream.name(), upstream.live_sessions(now))));
            if let Some(proxy) = proxy {
                recent.sample(now, &cluster, |upstream| proxy.traffic(upstream));
            }
        }
    }
}

/// What an [`Admin`] shows and changes.
#[derive(Debug)]
pub struct AdminTarget {
    balancer: Arc<Balancer>,
    proxy: Option<Proxy>,
    clock: Arc<dyn Clock>,
}

impl From<Arc<Balancer>> for AdminTarget {
    fn from(balancer: Arc<Balancer>) -> Self {
        Self { balancer, proxy: None, clock: Arc::new(SystemClock) }
    }
}

impl From<Balancer> for AdminTarget {
    fn from(balancer: Balancer) -> Self {
        Arc::new(balancer).into()
    }
}

impl From<Proxy> for AdminTarget {
    fn from(proxy: Proxy) -> Self {
        Self { balancer: Arc::clone(proxy.balancer()), clock: Arc::clone(proxy.clock()), proxy: Some(proxy) }
    }
}

impl From<&Proxy> for AdminTarget {
    fn from(proxy: &Proxy) -> Self {
        proxy.clone().into()
    }
}

/// Configures an [`Admin`].
pub struct AdminBuilder {
    target: AdminTarget,
    roster: Option<Arc<Roster>>,
    token: Option<BearerToken>,
    keys: Option<Box<ReadKeys>>,
    discovery: Option<Arc<AtomicBool>>,
}

impl fmt::Debug for AdminBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminBuilder").field("target", &self.target).finish_non_exhaustive()
    }
}

impl AdminBuilder {
    /// The roster of the target's balancer, where the host makes changes too or has a store for overrides. By default
    /// it is one of its own, whose overrides last as long as the `Admin`.
    #[must_use]
    pub fn roster(mut self, roster: Arc<Roster>) -> Self {
        self.roster = Some(roster);
        self
    }

    /// The token that every request must send. Without one only loopback addresses are admitted.
    #[must_use]
    pub fn token(mut self, token: BearerToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Where `POST /api/v1/keys/rotate` reads the keys from, such as a file that was edited before. It may block, and
    /// its error is sent to the client. Without it there is nothing to rotate.
    #[must_use]
    pub fn keys<F, E>(mut self, read: F) -> Self
    where
        F: Fn() -> Result<KeyRing, E> + Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.keys = Some(Box::new(move || read().map_err(Into::into)));
        self
    }

    /// Whether the discovery source responds, which the host keeps up to date; shown as the metric
    /// `homing_discovery_up`.
    #[must_use]
    pub fn discovery(mut self, is_up: Arc<AtomicBool>) -> Self {
        self.discovery = Some(is_up);
        self
    }

    /// Builds it. Events are recorded from here on.
    #[must_use]
    pub fn build(self) -> Admin {
        let AdminTarget { balancer, proxy, clock } = self.target;
        let roster = self.roster.unwrap_or_else(|| Arc::new(Roster::new(balancer)));
        let balancer = Arc::clone(roster.balancer());
        let reloads = Arc::<Reloads>::default();
        let context = AdminContext {
            feed: Arc::new(Feed::new(balancer.subscribe(), roster.subscribe(), clock.now())),
            history: History::default(),
            recent: Recent::default(),
            metrics: Metrics::new(MetricsCollector {
                roster: Arc::clone(&roster),
                proxy: proxy.clone(),
                clock: Arc::clone(&clock),
                reloads: Arc::clone(&reloads),
                discovery: self.discovery,
            }),
            reloads,
            balancer,
            roster,
            proxy,
            token: self.token,
            keys: self.keys,
            clock,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        };
        Admin { context: Arc::new(context) }
    }
}
