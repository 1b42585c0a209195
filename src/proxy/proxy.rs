//! The proxy as an embedder configures it.

use crate::balancer::Balancer;
use crate::cluster::Upstream;
use crate::health::Outcome;
use crate::http::{CookieSpec, RequestKey, TrustedProxies};
use crate::proxy::downstream::service::ProxyService;
use crate::proxy::exchange::client::Client;
use crate::proxy::exchange::queue::Queue;
use crate::proxy::tunnel::drain_notification::Departures;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::statistics::Ledger;
use crate::proxy::{Limits, LocalReplyCounts, QueueSettings, RetryBudget, RetrySettings, Timeouts};
use crate::time::{Clock, SystemClock};
use arc_swap::ArcSwap;
use http::HeaderName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Forwards requests to the upstreams that a [`Balancer`] picks.
///
/// Cheap to clone; clones share connections, counters and configuration. See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
}

/// What a connection goes by from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `None` where the balancer has no affinity.
    pub(super) cookie: Option<CookieSpec>,
    pub(super) key: RequestKey,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) lost_header: Option<HeaderName>,
}

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) balancer: Arc<Balancer>,
    /// Those for connections to come. All workers' the same.
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) refusals: Arc<LocalReplyCounts>,
    pub(super) retries: Arc<RetryBudget>,
    pub(super) queue: Arc<Queue>,
    /// How many look after the upstreams.
    pub(super) keepers: Arc<AtomicUsize>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pool: Arc<Pool>,
    pub(super) departures: Arc<Departures>,
    pub(super) ledger: Arc<Ledger>,
    /// By which number this worker counts in the ledger.
    pub(super) worker: usize,
}

impl Shared {
    /// Tells how a request fared, where somebody looks after the upstreams: what is judged down comes back only by that.
    pub(super) fn report(&self, upstream: &Upstream, outcome: Outcome) {
        if self.keepers.load(Ordering::Relaxed) > 0 {
            self.balancer.report_at(upstream, outcome, || self.clock.now());
        }
    }
}

impl Proxy {
    /// A proxy with default settings.
    #[must_use]
    pub fn new(balancer: impl Into<Arc<Balancer>>) -> Self {
        Self::builder(balancer).build()
    }

    /// Starts a configuration.
    pub fn builder(balancer: impl Into<Arc<Balancer>>) -> ProxyBuilder {
        ProxyBuilder {
            balancer: balancer.into(),
            cookie: None,
            key: RequestKey::default(),
            trusted_proxies: TrustedProxies::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            retry: RetrySettings::default(),
            queue: QueueSettings::default(),
            lost_header: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// The same proxy with a connection pool of its own: one for each single-threaded runtime, so that no request
    /// crosses threads.
    #[must_use]
    pub fn worker(&self) -> Self {
        let Shared { balancer, settings, refusals, retries, queue, keepers, clock, .. } = &*self.shared;
        let Shared { departures, ledger, .. } = &*self.shared;
        let shared = Shared {
            balancer: Arc::clone(balancer),
            settings: Arc::clone(settings),
            refusals: Arc::clone(refusals),
            retries: Arc::clone(retries),
            queue: Arc::clone(queue),
            keepers: Arc::clone(keepers),
            clock: Arc::clone(clock),
            pool: Pool::new(settings.load().timeouts.idle),
            departures: Arc::clone(departures),
            ledger: Arc::clone(ledger),
            worker: ledger.worker(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The hyper service for one connection, for those who run hyper's server themselves: HTTP/1.1 (with upgrades)
    /// or HTTP/2. `https` says that the client came over TLS. Most want [`serve`](Self::serve) instead, which adds
    /// the timeouts, limits and refusals that need the connection.
    #[must_use]
    pub fn service(&self, peer: SocketAddr, https: bool) -> ProxyService {
        ProxyService::new(self.client(peer, https))
    }

    /// Takes over the settings of `builder`, for all workers: connections that come from now on go by them, and those there
    /// are, with their requests and tunnels, go on by those that they began with. The queue and the budget of retries are
    /// everybody's, and change for all at once.
    ///
    /// Counters, the queue and connections to upstreams stay. So does the clock: the builder's is not looked at.
    ///
    /// # Errors
    /// [`OtherBalancer`] where the builder is not for this proxy's balancer, which changes by
    /// [`Balancer::reconfigure`]. Nothing has changed then.
    pub fn reconfigure(&self, builder: ProxyBuilder) -> Result<(), OtherBalancer> {
        let shared = &self.shared;
        if !Arc::ptr_eq(&builder.balancer, &shared.balancer) {
            return Err(OtherBalancer);
        }
        shared.queue.reconfigure(builder.queue);
        shared.retries.reconfigure(builder.retry);
        shared.settings.store(Arc::new(builder.settings()));
        Ok(())
    }

    /// How often the proxy answered in its own name, over all workers.
    #[must_use]
    pub fn local_replies(&self) -> &LocalReplyCounts {
        &self.shared.refusals
    }

    /// How many requests wait for a place at an upstream, over all workers.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.queue.waiting()
    }

    /// The budget that retries are taken from, over all workers.
    #[must_use]
    pub fn retries(&self) -> &RetryBudget {
        &self.shared.retries
    }

    /// The balancer that picks.
    #[must_use]
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.shared.balancer
    }

    /// The clock that dates tokens.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn client(&self, peer: SocketAddr, https: bool) -> Arc<Client> {
        let client = Client::new(Arc::clone(&self.shared), peer, https);
        self.shared.pool.keep_for(client.settings.timeouts.idle);
        Arc::new(client)
    }
}

/// Settings for a proxy of another balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("these settings are for another balancer: begin them with Proxy::builder and the balancer of this proxy")]
pub struct OtherBalancer;

/// Configures a [`Proxy`].
#[derive(Debug)]
pub struct ProxyBuilder {
    balancer: Arc<Balancer>,
    cookie: Option<CookieSpec>,
    key: RequestKey,
    trusted_proxies: TrustedProxies,
    timeouts: Timeouts,
    limits: Limits,
    retry: RetrySettings,
    queue: QueueSettings,
    lost_header: Option<HeaderName>,
    clock: Arc<dyn Clock>,
}

impl ProxyBuilder {
    /// The cookie that carries the token; [`CookieSpec::default`] unless said
    /// otherwise. Without affinity in the balancer there is none. It goes no further; the cookies of other proxies that affinity
    /// [accepts](crate::affinity::AffinityBuilder::accept) travel on, since an application may read its own session from them.
    #[must_use]
    pub fn cookie(mut self, cookie: CookieSpec) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// What of a request hash policies hash; the client's address unless said otherwise.
    #[must_use]
    pub fn key(mut self, key: RequestKey) -> Self {
        self.key = key;
        self
    }

    /// The proxies in front whose `X-Forwarded-*` and `Forwarded` are believed; none unless said otherwise.
    #[must_use]
    pub fn trusted_proxies(mut self, trusted: TrustedProxies) -> Self {
        self.trusted_proxies = trusted;
        self
    }

    /// How long to wait for what.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How much a request may bring.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How often requests are tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetrySettings) -> Self {
        self.retry = retry;
        self
    }

    /// How requests wait while all upstreams are at their limit.
    #[must_use]
    pub fn queue(mut self, queue: QueueSettings) -> Self {
        self.queue = queue;
        self
    }

    /// The field of responses to sessions that were displaced, and so have lost what their upstream knew of them; its
    /// value is the [decision's name](crate::Decision::as_str). Upstreams' own fields of that name go no further. None
    /// unless said otherwise.
    #[must_use]
    pub fn lost_header(mut self, name: HeaderName) -> Self {
        self.lost_header = Some(name);
        self
    }

    /// The clock that dates tokens; the system's unless said otherwise.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the proxy.
    #[must_use]
    pub fn build(self) -> Proxy {
        let requests = self.balancer.requests();
        let ledger = Arc::<Ledger>::default();
        let shared = Shared {
            balancer: Arc::clone(&self.balancer),
            refusals: Arc::default(),
            retries: Arc::new(RetryBudget::new(self.retry, requests)),
            queue: Arc::new(Queue::new(self.queue)),
            keepers: Arc::default(),
            clock: Arc::clone(&self.clock),
            pool: Pool::new(self.timeouts.idle),
            departures: Arc::default(),
            worker: ledger.worker(),
            ledger,
            settings: Arc::new(ArcSwap::from_pointee(self.settings())),
        };
        Proxy { shared: Arc::new(shared) }
    }

    fn settings(self) -> Settings {
        Settings {
            cookie: self.balancer.affinity().map(|_| self.cookie.unwrap_or_default()),
            key: self.key,
            trusted_proxies: self.trusted_proxies,
            timeouts: self.timeouts,
            limits: self.limits,
            lost_header: self.lost_header,
        }
    }
}
