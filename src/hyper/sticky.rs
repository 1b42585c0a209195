//! The service: affinity around a client service.

use super::error::{BoxError, StickyError};
use super::lease_body::LeaseBody;
use super::peer::Peer;
use super::picked::Picked;
use super::reporter::Reporter;
use super::response::{Exchange, ResponseFuture};
use super::settings::Settings;
use crate::balancer::{Balancer, Picker, PlaceWaiter};
use crate::cluster::WaitFor;
use crate::http::header_map;
use http::{Request, Response};
use http_body::Body;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Session affinity around a client service `C`. See the [module](super) for what it does to a request, with an
/// example.
///
/// It is a [`tower_service::Service`] and a [`hyper::service::Service`]. A clone costs one of `C`, two reference counts
/// and a load of the balancer's snapshot; give each connection or worker its own. Clones share the balancer.
#[derive(Debug)]
pub struct Sticky<C> {
    settings: Arc<Settings>,
    reporter: Reporter,
    picker: Picker,
    /// While this instance waits for a place.
    waiter: Option<PlaceWaiter>,
    client: C,
}

impl<C: Clone> Clone for Sticky<C> {
    fn clone(&self) -> Self {
        let Self { settings, reporter, picker, waiter: _, client } = self;
        Self {
            settings: Arc::clone(settings),
            reporter: reporter.clone(),
            picker: picker.clone(),
            waiter: None,
            client: client.clone(),
        }
    }
}

impl<C> Sticky<C> {
    pub(super) fn from_parts(settings: Settings, reporter: Reporter, picker: Picker, client: C) -> Self {
        Self { settings: Arc::new(settings), reporter, picker, waiter: None, client }
    }

    /// The balancer that picks.
    #[must_use]
    pub fn balancer(&self) -> &Arc<Balancer> {
        self.picker.balancer()
    }

    /// Pending while every upstream that accepts sessions is at its limit of requests in flight.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.has_room() {
            let waiter = self.waiter.get_or_insert_with(|| self.picker.balancer().waiter());
            ready!(waiter.poll_freed(WaitFor::Any, cx));
        }
        // Not kept until the call, which may never come: a waiter that is dropped wakes the next one.
        self.waiter = None;
        Poll::Ready(())
    }

    /// Whether an upstream that accepts sessions is below its limit, or none accepts: that is an error of the call.
    /// Looks at upstreams up to the first with room.
    fn has_room(&mut self) -> bool {
        let view = self.picker.view();
        let mut accepting = view.cluster().members().iter().filter(|member| member.upstream().availability().accepting);
        let mut accepts = false;
        accepting.any(|member| {
            accepts = true;
            member.has_room()
        }) || !accepts
    }

    /// Picks an upstream, and makes the request one to it.
    fn place<B>(&mut self, request: &mut Request<B>) -> Result<Exchange, StickyError> {
        let Self { settings, reporter, picker, .. } = self;
        let now = reporter.now();
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>().copied();
        let view = picker.view();
        let tokens = settings.cookie.as_ref().map(|cookie| header_map::tokens(headers, cookie.name()));
        let legacy_cookies = header_map::legacy_cookies(headers, view.accepted());
        let mut asked = crate::Request::new(now)
            .tokens(tokens.as_deref().unwrap_or_default())
            .legacy_cookies(&legacy_cookies)
            // A session that is to wait for its failover target would have to be queued.
            .no_wait();
        asked.client = peer.map(|peer| peer.client(headers, &settings.trusted_proxies));
        asked.key = header_map::request_key(headers, request.uri(), &settings.key);
        let pick = view.pick(&asked)?;
        let https = peer.is_some_and(|peer| peer.is_https(headers, &settings.trusted_proxies));
        let upstream = Arc::clone(pick.upstream());
        settings.direct(request, &upstream)?;
        let picked = Picked { upstream, decision: pick.decision, session_id: pick.session_id };
        request.extensions_mut().insert(picked.clone());
        Ok(Exchange::new(Arc::clone(settings), reporter.clone(), pick, picked, https))
    }
}

impl<C, B, R> Service<Request<B>> for Sticky<C>
where
    C: Service<Request<B>, Response = Response<R>>,
    C::Error: Into<BoxError>,
    R: Body,
{
    type Response = Response<LeaseBody<R>>;
    type Error = StickyError;
    type Future = ResponseFuture<C::Future>;

    /// Pending while every upstream that accepts sessions is at its limit of requests in flight, and while the client
    /// service is not ready. Reserves no place: another clone may take it before [`call`](Service::call), which then
    /// fails with [`StickyError::Full`], and a service that is ready and never called keeps nothing from others.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StickyError>> {
        ready!(self.poll_room(cx));
        self.client.poll_ready(cx).map_err(|error| StickyError::Client(error.into()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.place(&mut request) {
            // The client itself, and not a clone of it: readiness belongs to the instance that was polled.
            Ok(exchange) => ResponseFuture::new(exchange, self.client.call(request)),
            Err(error) => ResponseFuture::failed(error),
        }
    }
}
