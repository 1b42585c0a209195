//! The proxy as an embedder configures and runs it.

use super::downstream::serve::{self, Protocol};
use super::downstream::service::ProxyService;
use super::exchange::client::Client;
use super::exchange::queue::Queue;
use super::exchange::retry_budget::RetryBudget;
use super::exchange::worker::{ConnectionSettings, Worker};
use super::health::checker;
use super::local_reply::LocalReplyCounts;
use super::settings::{Limits, ProbeSettings, QueueSettings, RetrySettings, Timeouts};
use super::upstream::pool::Pool;
use super::upstream::statistics::{StatisticsRegistry, Traffic};
use crate::balancer::Balancer;
use crate::cluster::Upstream;
use crate::http::{CookieSpec, RequestKey, TrustedProxies};
use crate::time::{Clock, SystemClock};
use arc_swap::ArcSwap;
use http::HeaderName;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Forwards requests to the upstreams that a [`Balancer`] picks.
///
/// Cheap to clone; clones share connections, counters and configuration. See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct Proxy {
    worker: Arc<Worker>,
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
        Self { worker: Arc::new(self.worker.another()) }
    }

    /// Serves one accepted connection until it is closed: HTTP/1.1 with upgrades, or HTTP/2, with every timeout and
    /// limit. Spawn it on a task of its own.
    ///
    /// When `shutdown` completes, the connection accepts no further request and ends with those it has. Tunnels live
    /// on as tasks of their own.
    pub async fn serve<T>(&self, stream: T, peer: SocketAddr, protocol: Protocol, shutdown: impl Future<Output = ()>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shutdown = async {
            shutdown.await;
            Duration::ZERO
        };
        self.serve_until(stream, peer, protocol, shutdown).await;
    }

    /// As [`serve`](Self::serve). For as long as `ending` says when it completes, an idle connection of HTTP/1
    /// accepts one request more, whose response ends it: a client that sends one while its connection is closed
    /// cannot know what became of it. HTTP/2 has a frame to say so.
    pub fn serve_until<T>(
        &self,
        stream: T,
        peer: SocketAddr,
        protocol: Protocol,
        ending: impl Future<Output = Duration>,
    ) -> impl Future<Output = ()>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serve::serve_until(self.client(peer, protocol != Protocol::Clear), stream, protocol, ending)
    }

    /// Checks the health of the upstreams until `shutdown` completes. Spawn it once for all workers, on a runtime
    /// that lives as long as the proxy.
    ///
    /// It probes every upstream, also those that join later, where `probes` say how; calls
    /// [`Balancer::tick`](crate::Balancer::tick) ten times a second; and logs every health event to
    /// [`HEALTH_TARGET`](super::HEALTH_TARGET).
    ///
    /// Outcomes of requests are reported, and upstreams judged by them, only while it runs: otherwise an ejected
    /// upstream would never recover.
    pub fn run_health_checks<F>(
        &self,
        probes: Option<ProbeSettings>,
        shutdown: F,
    ) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = ()> + Send,
    {
        checker::run(Arc::clone(&self.worker), probes, shutdown)
    }

    /// The service of one client connection, for programs that run a server themselves: hyper's, axum's, or any other
    /// that calls tower's services, over HTTP/1.1 (with upgrades) or HTTP/2. `https` says that the client came over
    /// TLS. Prefer [`serve`](Self::serve), which adds the timeouts, limits and local replies that need the connection.
    ///
    /// # One service is one client's
    ///
    /// Every request that a service gets is taken for one of `peer`: policies that hash the address place it by `peer`,
    /// upstreams see `peer` in `X-Forwarded-For`, and whether a proxy in front is trusted depends on it. So each
    /// connection is given a service of its own, as tower's `MakeService` does. With hyper's server, make it where a
    /// connection is accepted. With axum, the peer of a request is in its `ConnectInfo`:
    ///
    /// ```
    /// use axum::body::Body;
    /// use axum::extract::{ConnectInfo, Request, State};
    /// use axum::response::Response;
    /// use axum::{Router, serve};
    /// use homing::proxy::Proxy;
    /// use std::net::SocketAddr;
    /// use tower::ServiceExt;
    ///
    /// async fn forward(
    ///     State(proxy): State<Proxy>,
    ///     ConnectInfo(peer): ConnectInfo<SocketAddr>,
    ///     request: Request,
    /// ) -> Response {
    ///     match proxy.service(peer, false).oneshot(request).await {
    ///         Ok(response) => response.map(Body::new),
    ///         Err(never) => match never {},
    ///     }
    /// }
    ///
    /// # async fn example(proxy: Proxy, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let router = Router::new().fallback(forward).with_state(proxy);
    /// serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    ///
    /// A service for each request, as here, costs an allocation and the cached forwarding headers of its connection.
    /// Where all requests come from one peer, such as a load balancer in front, one service serves them all:
    /// `router.fallback_service(proxy.service(peer, false))`, or `nest_service`, which removes its prefix from the path
    /// that upstreams see.
    #[must_use]
    pub fn service(&self, peer: SocketAddr, https: bool) -> ProxyService {
        ProxyService::new(self.client(peer, https))
    }

    /// Takes over the settings of `builder`, for all workers, for connections to come. A connection keeps the
    /// settings that it began with, also for its later requests and its tunnel. The queue and the retry budget are
    /// shared, and change for all at once.
    ///
    /// Counters, the queue and connections to upstreams stay. So does the clock: the builder's is ignored.
    ///
    /// # Errors
    /// [`OtherBalancer`] where the builder is not for this proxy's balancer, which changes by
    /// [`Balancer::reconfigure`]. Nothing has changed then.
    pub fn reconfigure(&self, builder: ProxyBuilder) -> Result<(), OtherBalancer> {
        let worker = &self.worker;
        if !Arc::ptr_eq(&builder.balancer, &worker.balancer) {
            return Err(OtherBalancer);
        }
        worker.queue.reconfigure(builder.queue);
        worker.retries.reconfigure(builder.retry);
        worker.settings.store(Arc::new(builder.settings()));
        Ok(())
    }

    /// How many local replies there were, by reason, over all workers.
    #[must_use]
    pub fn local_replies(&self) -> &LocalReplyCounts {
        &self.worker.local_replies
    }

    /// How many requests wait for a place at an upstream, over all workers.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.worker.queue.waiting()
    }

    /// The retry budget of all workers.
    #[must_use]
    pub fn retries(&self) -> &RetryBudget {
        &self.worker.retries
    }

    /// The balancer that picks.
    #[must_use]
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.worker.balancer
    }

    /// The clock that dates tokens.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.worker.clock
    }

    /// What has passed between this proxy and an upstream of its balancer, over all workers. Takes a lock that
    /// requests take only to connect.
    #[must_use]
    pub fn traffic(&self, upstream: &Upstream) -> Traffic {
        self.worker.statistics.sum(upstream)
    }

    pub(super) fn client(&self, peer: SocketAddr, https: bool) -> Arc<Client> {
        let client = Client::new(Arc::clone(&self.worker), peer, https);
        self.worker.pool.set_timeout(client.settings.timeouts.idle);
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
    /// The cookie that carries the token. Default: [`CookieSpec::default`]. Without affinity in the balancer there is
    /// none. Upstreams do not see it; the cookies of other proxies that affinity
    /// [accepts](crate::affinity::AffinityBuilder::accept) are passed on, since an application may read its own
    /// session from them.
    #[must_use]
    pub fn cookie(mut self, cookie: CookieSpec) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// The part of a request that hash policies hash. Default: the client's address.
    #[must_use]
    pub fn key(mut self, key: RequestKey) -> Self {
        self.key = key;
        self
    }

    /// The proxies in front whose `X-Forwarded-*` and `Forwarded` are trusted. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, trusted: TrustedProxies) -> Self {
        self.trusted_proxies = trusted;
        self
    }

    /// The timeouts.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The limits on requests.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The retry budget.
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

    /// The header field of responses to sessions that were displaced, and so have lost what their upstream knew of
    /// them. Its value is the [decision's name](crate::Decision::as_str). Upstreams' own fields of that name are
    /// removed. Default: none.
    #[must_use]
    pub fn lost_header(mut self, name: HeaderName) -> Self {
        self.lost_header = Some(name);
        self
    }

    /// The clock that dates tokens. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds the proxy.
    #[must_use]
    pub fn build(self) -> Proxy {
        let requests = self.balancer.requests();
        let statistics = Arc::<StatisticsRegistry>::default();
        let worker = Worker {
            balancer: Arc::clone(&self.balancer),
            local_replies: Arc::default(),
            retries: Arc::new(RetryBudget::new(self.retry, requests)),
            queue: Arc::new(Queue::new(self.queue)),
            health_checkers: Arc::default(),
            clock: Arc::clone(&self.clock),
            pool: Pool::new(self.timeouts.idle),
            drain_notification: Arc::default(),
            number: statistics.add_worker(),
            statistics,
            settings: Arc::new(ArcSwap::from_pointee(self.settings())),
        };
        Proxy { worker: Arc::new(worker) }
    }

    fn settings(self) -> ConnectionSettings {
        ConnectionSettings {
            cookie: self.balancer.affinity().map(|_| self.cookie.unwrap_or_default()),
            key: self.key,
            trusted_proxies: self.trusted_proxies,
            timeouts: self.timeouts,
            limits: self.limits,
            lost_header: self.lost_header,
        }
    }
}
