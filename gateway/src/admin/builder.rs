//! What an embedder configures, and what all connections share.

use crate::admin::AdminService;
use crate::admin::BearerToken;
use crate::admin::views::feed::Feed;
use crate::admin::views::history::{self, History};
use crate::admin::views::metrics::{Metrics, MetricsCollector};
use crate::admin::views::recent::Recent;
use crate::admin::views::reloads::Reloads;
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

/// Streams of events at once.
const MAX_STREAMS: usize = 64;

/// Shows and changes one balancer. Cheap to clone. See the [module](super) for an example.
#[derive(Clone)]
pub struct Admin {
    shared: Arc<AdminContext>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("balancer", &self.shared.balancer).finish_non_exhaustive()
    }
}

/// Reads the keys that are to be in force.
pub(super) type ReadKeys = dyn Fn() -> Result<KeyRing, Box<dyn Error + Send + Sync>> + Send + Sync;

pub(super) struct AdminContext {
    pub(super) balancer: Arc<Balancer>,
    /// Of that balancer.
    pub(super) roster: Arc<Roster>,
    pub(super) proxy: Option<Proxy>,
    pub(super) token: Option<BearerToken>,
    pub(super) keys: Option<Box<ReadKeys>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) feed: Feed,
    pub(super) history: History,
    pub(super) recent: Recent,
    pub(super) metrics: Metrics,
    pub(super) reloads: Arc<Reloads>,
    pub(super) streams: Arc<Semaphore>,
}

impl Admin {
    /// Starts a configuration, for a [`Proxy`] or for a [`Balancer`] alone, which has no figures of an adapter.
    pub fn builder(source: impl Into<AdminTarget>) -> AdminBuilder {
        AdminBuilder { source: source.into(), roster: None, token: None, keys: None, discovery: None }
    }

    /// What it makes changes through. Where instances register themselves, whoever runs an `Admin` lets its time
    /// [pass](Roster::tick).
    #[must_use]
    pub fn roster(&self) -> &Arc<Roster> {
        &self.shared.roster
    }

    pub(super) fn shared(&self) -> &AdminContext {
        &self.shared
    }

    /// The hyper service for one connection, for those who run hyper's server themselves. `peer` is who gets in and who
    /// the audit names.
    #[must_use]
    pub fn service(&self, peer: SocketAddr) -> AdminService {
        AdminService::new(Arc::clone(&self.shared), peer)
    }

    /// Looks at all upstreams each 5 seconds, until it is dropped: at their live sessions, for `GET /api/v1/history` and the plot
    /// of the dashboard, and at how quickly they answer, which is told of the last minute or two. Spawn it once, on a runtime
    /// with a timer; without it the history is empty, and times are of all answers since the start.
    ///
    /// It keeps an hour in at most 2 MiB, and so fewer samples of more than 728 upstreams, and 1.5 KiB more of each.
    pub async fn keep_history(&self) {
        let AdminContext { balancer, proxy, clock, history, recent, .. } = &*self.shared;
        let mut looks = interval(history::INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let (now, cluster) = (clock.now(), balancer.cluster());
            let upstreams = cluster.members().iter().map(Member::upstream);
            history.look(now, upstreams.map(|upstream| (upstream.name(), upstream.live_sessions(now))));
            if let Some(proxy) = proxy {
                recent.look(now, &cluster, |upstream| proxy.traffic(upstream));
            }
        }
    }
}

/// What an [`Admin`] shows.
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
    source: AdminTarget,
    roster: Option<Arc<Roster>>,
    token: Option<BearerToken>,
    keys: Option<Box<ReadKeys>>,
    discovery: Option<Arc<AtomicBool>>,
}

impl fmt::Debug for AdminBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminBuilder").field("source", &self.source).finish_non_exhaustive()
    }
}

impl AdminBuilder {
    /// The roster of the source's balancer, where others make changes too or orders are kept. Otherwise it is one of its own,
    /// whose orders last as long as it does.
    #[must_use]
    pub fn roster(mut self, roster: Arc<Roster>) -> Self {
        self.roster = Some(roster);
        self
    }

    /// The token that every request must bring. Without one only loopback is let in.
    #[must_use]
    pub fn token(mut self, token: BearerToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Where `POST /api/v1/keys/rotate` reads the keys: a file that was edited before, say. It may block, and what its
    /// error says is shown to whoever asked. Without it there is nothing to rotate.
    #[must_use]
    pub fn keys<F, E>(mut self, read: F) -> Self
    where
        F: Fn() -> Result<KeyRing, E> + Send + Sync + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.keys = Some(Box::new(move || read().map_err(Into::into)));
        self
    }

    /// Whether the source where upstreams are found answers, as others keep it up to date; `homing_discovery_up` tells it.
    #[must_use]
    pub fn discovery(mut self, is_up: Arc<AtomicBool>) -> Self {
        self.discovery = Some(is_up);
        self
    }

    /// Builds it. Events are kept from here on.
    #[must_use]
    pub fn build(self) -> Admin {
        let AdminTarget { balancer, proxy, clock } = self.source;
        let roster = self.roster.unwrap_or_else(|| Arc::new(Roster::new(balancer)));
        let balancer = Arc::clone(roster.balancer());
        let reloads = Arc::<Reloads>::default();
        let shared = AdminContext {
            feed: Feed::new(balancer.subscribe(), roster.subscribe(), clock.now()),
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
        Admin { shared: Arc::new(shared) }
    }
}
