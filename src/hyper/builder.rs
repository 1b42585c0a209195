//! The configuration of a [`Sticky`].

use super::error::outcome_of;
use super::reporter::Reporter;
use super::settings::{OutcomeOf, Settings};
use super::sticky::Sticky;
use crate::balancer::Balancer;
use crate::health::Outcome;
use crate::http::{CookieSpec, RequestKey, TrustedProxies};
use crate::time::{Clock, SystemClock};
use http::uri::Scheme;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Configures a [`Sticky`].
pub struct StickyBuilder<C> {
    balancer: Arc<Balancer>,
    client: C,
    cookie: Option<CookieSpec>,
    key: RequestKey,
    trusted_proxies: TrustedProxies,
    clock: Arc<dyn Clock>,
    scheme: Scheme,
    preserve_host: bool,
    outcome_of: Box<OutcomeOf>,
}

impl<C> fmt::Debug for StickyBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StickyBuilder").field("cookie", &self.cookie).field("key", &self.key).finish_non_exhaustive()
    }
}

impl<C> Sticky<C> {
    /// Affinity around `client` with default settings.
    #[must_use]
    pub fn new(balancer: impl Into<Arc<Balancer>>, client: C) -> Self {
        Self::builder(balancer, client).build()
    }

    /// Starts a configuration.
    #[must_use]
    pub fn builder(balancer: impl Into<Arc<Balancer>>, client: C) -> StickyBuilder<C> {
        StickyBuilder {
            balancer: balancer.into(),
            client,
            cookie: None,
            key: RequestKey::default(),
            trusted_proxies: TrustedProxies::default(),
            clock: Arc::new(SystemClock),
            scheme: Scheme::HTTP,
            preserve_host: true,
            outcome_of: Box::new(outcome_of),
        }
    }
}

impl<C> StickyBuilder<C> {
    /// The cookie that carries the token. Default: [`CookieSpec::default`]. Without affinity in the balancer there is
    /// none.
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

    /// The proxies in front whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, trusted: TrustedProxies) -> Self {
        self.trusted_proxies = trusted;
        self
    }

    /// The clock that dates tokens and health. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The scheme of requests to upstreams: `https` for a client that does TLS. Default: `http`.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Whether upstreams see the `Host` that the client asked for, which is the default, or none, so that the client
    /// service sets it to the upstream's address. Apache calls it `ProxyPreserveHost`. Over HTTP/2 to upstreams, set it
    /// to false: several servers reject a `host` that differs from `:authority`.
    #[must_use]
    pub fn preserve_host(mut self, preserve: bool) -> Self {
        self.preserve_host = preserve;
        self
    }

    /// What an error of the client service says about its upstream, in place of [`outcome_of`]. It gets the time from
    /// the call to the error. Ask `outcome_of` for errors that it knows better:
    ///
    /// ```
    /// use homing::health::Outcome;
    /// use homing::hyper::{StickyBuilder, outcome_of};
    /// use tower::timeout::error::Elapsed;
    ///
    /// # fn example<C>(builder: StickyBuilder<C>) -> StickyBuilder<C> {
    /// builder.outcome(|error, waited| match error.is::<Elapsed>() {
    ///     true => Some(Outcome::TimedOut { after: waited }),
    ///     false => outcome_of(error, waited),
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn outcome(
        mut self,
        outcome_of: impl Fn(&(dyn Error + 'static), Duration) -> Option<Outcome> + Send + Sync + 'static,
    ) -> Self {
        self.outcome_of = Box::new(outcome_of);
        self
    }

    /// Builds the service.
    #[must_use]
    pub fn build(self) -> Sticky<C> {
        let reporter = Reporter::new(Arc::clone(&self.balancer), self.clock);
        let settings = Settings {
            cookie: self.balancer.affinity().map(|_| self.cookie.unwrap_or_default()),
            key: self.key,
            trusted_proxies: self.trusted_proxies,
            scheme: self.scheme,
            preserve_host: self.preserve_host,
            outcome_of: self.outcome_of,
        };
        Sticky::from_parts(settings, reporter, self.balancer.picker(), self.client)
    }
}
