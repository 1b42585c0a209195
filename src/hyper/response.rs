//! The response of the client service, and what is done with it.

use super::error::{BoxError, StickyError};
use super::lease_body::LeaseBody;
use super::picked::{Picked, UpgradeLease};
use super::reporter::Reporter;
use super::settings::Settings;
use crate::affinity::Token;
use crate::balancer::Pick;
use crate::cluster::Lease;
use crate::health::Outcome;
use crate::http::header_map;
use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

pin_project! {
    /// The response of [`Sticky`](super::Sticky). If it is dropped before it completes, the lease ends and nothing is
    /// reported: a client that goes away says nothing about the upstream.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProjection]
    enum State<F> {
        Called { #[pin] response: F, exchange: Option<Exchange> },
        Failed { error: Option<StickyError> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(exchange: Exchange, response: F) -> Self {
        Self { state: State::Called { response, exchange: Some(exchange) } }
    }

    pub(super) fn failed(error: StickyError) -> Self {
        Self { state: State::Failed { error: Some(error) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
{
    type Output = Result<Response<LeaseBody<R>>, StickyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Called { response, exchange } => {
                let result = ready!(response.poll(cx));
                // A future is not polled again after it has completed.
                let Some(exchange) = exchange.take() else { return Poll::Pending };
                Poll::Ready(match result {
                    Ok(response) => Ok(exchange.respond(response)),
                    Err(error) => Err(exchange.fail(error.into())),
                })
            }
            StateProjection::Failed { error } => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

/// One request from the pick to the head of its response.
#[derive(Debug)]
pub(super) struct Exchange {
    settings: Arc<Settings>,
    reporter: Reporter,
    lease: Lease,
    token: Option<Token>,
    picked: Picked,
    https: bool,
    start: Instant,
}

impl Exchange {
    #[expect(clippy::disallowed_methods, reason = "an adapter measures latencies, which the clock is too coarse for")]
    pub(super) fn new(settings: Arc<Settings>, reporter: Reporter, pick: Pick, picked: Picked, https: bool) -> Self {
        let Pick { lease, token, .. } = pick;
        Self { settings, reporter, lease, token, picked, https, start: Instant::now() }
    }

    fn respond<R: Body>(self, response: Response<R>) -> Response<LeaseBody<R>> {
        let Self { settings, reporter, lease, token, picked, https, start } = self;
        let upstream = &picked.upstream;
        if upstream.is_observed() {
            upstream.observe(start.elapsed(), reporter.now());
        }
        let is_error = response.status().is_server_error();
        reporter.report(upstream, if is_error { Outcome::ServerError } else { Outcome::Answered });
        let (mut head, body) = response.into_parts();
        if let (Some(cookie), Some(token)) = (&settings.cookie, &token) {
            header_map::append_set_cookie(&mut head.headers, cookie, token, https);
        }
        let body = match head.status {
            StatusCode::SWITCHING_PROTOCOLS => {
                head.extensions.insert(UpgradeLease::new(lease, picked.session_id));
                LeaseBody::without_lease(body)
            }
            _ => LeaseBody::reporting(body, lease, reporter),
        };
        head.extensions.insert(picked);
        Response::from_parts(head, body)
    }

    fn fail(self, error: BoxError) -> StickyError {
        if let Some(outcome) = (self.settings.outcome_of)(&*error, self.start.elapsed()) {
            self.reporter.report(&self.picked.upstream, outcome);
        }
        // The lease ends behind the report, so that the next pick knows of both.
        StickyError::Client(error)
    }
}
