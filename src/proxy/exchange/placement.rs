//! Assigns an upstream to a request: asks the balancer, and waits in the queue where there is no place.

use super::client::Client;
use super::queue::{PickOutcome, RECHECK_INTERVAL};
use super::worker::Worker;
use crate::balancer::{Pick, PickError, View, Wait};
use crate::cluster::{Decision, UpstreamId, WaitFor};
use crate::http::header_map::{self, legacy_cookies, says_https, tokens};
use crate::proxy::local_reply::LocalReply;
use crate::time::Timestamp;
use http::{HeaderValue, request};
use std::net::IpAddr;
use std::time::Duration;

/// One request as the balancer sees it, and the upstreams that it was offered to.
pub(super) struct Placement<'c> {
    client: &'c Client,
    parts: &'c request::Parts,
    address: IpAddr,
    pub(super) now: Timestamp,
    https: bool,
    /// Upstreams where the request could not be served.
    tried: Vec<UpstreamId>,
}

impl<'c> Placement<'c> {
    pub(super) fn new(client: &'c Client, address: IpAddr, parts: &'c request::Parts) -> Self {
        Self {
            client,
            parts,
            address,
            now: client.worker.clock.now(),
            https: client.is_https() || (client.peer_is_trusted() && says_https(&parts.headers)),
            tried: Vec::new(),
        }
    }

    /// Calls `ask` with a view of the balancer and this request.
    fn asking<T>(&self, ask: impl FnOnce(&View<'_>, &crate::Request<'_>) -> T) -> T {
        let Client { worker, settings, .. } = self.client;
        let view = worker.balancer.view();
        let headers = &self.parts.headers;
        let request = crate::Request::new(self.now).client(self.address).tried(&self.tried);
        let key = header_map::request_key(headers, &self.parts.uri, &settings.key);
        let request = crate::Request { key, no_wait: !worker.queue.is_open(), ..request };
        match &settings.cookie {
            Some(cookie) if view.accepted().is_empty() => ask(&view, &request.tokens(&tokens(headers, cookie.name()))),
            Some(cookie) => {
                let (tokens, legacy_cookies) =
                    (tokens(headers, cookie.name()), legacy_cookies(headers, view.accepted()));
                ask(&view, &request.tokens(&tokens).legacy_cookies(&legacy_cookies))
            }
            None => ask(&view, &request),
        }
    }

    fn pick(&self) -> Result<Pick, PickError> {
        self.asking(|view, request| view.pick(request))
    }

    /// Assigns an upstream, at once or after a wait in the queue.
    pub(super) async fn place(&mut self) -> Result<Pick, LocalReply> {
        match self.pick() {
            Ok(placed) if self.client.worker.balancer.waiting() == 0 => Ok(placed),
            // Boxed: it is rare, and would be a part of every request's future.
            picked => Box::pin(self.wait(picked)).await,
        }
    }

    async fn wait(&mut self, picked: Result<Pick, PickError>) -> Result<Pick, LocalReply> {
        let Worker { balancer, queue, .. } = &*self.client.worker;
        let first = match picked {
            Ok(placed) if !balancer.overtakes(placed.decision, placed.upstream().id()) => return Ok(placed),
            Ok(placed) => {
                let (decision, upstream) = (placed.decision, placed.upstream().id());
                // Free before this request waits, for those that wait already.
                drop(placed);
                self.full((decision == Decision::Pinned).then_some(upstream))
            }
            Err(error) => self.outcome_of(Err(error)),
        };
        match first {
            PickOutcome::Rejected(reply) => Err(reply),
            _ if !queue.is_open() => Err(LocalReply::Full),
            first => {
                queue
                    .wait(balancer, first, || {
                        self.now = self.client.worker.clock.now();
                        let picked = self.pick();
                        self.outcome_of(picked)
                    })
                    .await
            }
        }
    }

    fn outcome_of(&mut self, picked: Result<Pick, PickError>) -> PickOutcome<Pick> {
        let worker = &self.client.worker;
        match picked {
            Ok(placed) => {
                let upstream = placed.upstream().id();
                PickOutcome::Placed(placed, upstream)
            }
            Err(PickError::Full) => self.full(self.asking(|view, request| view.pinned_upstream(request))),
            Err(PickError::Later { at, reason }) => {
                let left = at.since(worker.clock.now());
                if reason == Wait::UpstreamReturn {
                    // The upstream that is held for may be tried again when it is back.
                    self.tried.clear();
                }
                PickOutcome::RetryAfter(pause(left, reason))
            }
            Err(PickError::Unavailable) => PickOutcome::Rejected(LocalReply::Unavailable),
            Err(PickError::Rejected(_)) => PickOutcome::Rejected(LocalReply::Rejected),
            Err(PickError::Entropy(error)) => {
                tracing::error!(%error, "cannot place a new session");
                PickOutcome::Rejected(LocalReply::Internal)
            }
        }
    }

    /// For which place this request waits: one at its session's upstream, or any.
    fn full(&self, pinned: Option<UpstreamId>) -> PickOutcome<Pick> {
        match pinned {
            Some(upstream) => PickOutcome::Full(WaitFor::Upstream(upstream)),
            None if self.tried.is_empty() => PickOutcome::Full(WaitFor::Any),
            // It cannot take what the others can, so it must not delay them.
            None => PickOutcome::RetryAfter(RECHECK_INTERVAL),
        }
    }

    /// Another upstream than the one that failed; `reply` where there is none.
    pub(super) async fn place_again(&mut self, failed: Pick, reply: LocalReply) -> Result<Pick, LocalReply> {
        self.tried.push(failed.upstream().id());
        drop(failed);
        // Connecting may have taken long, and displaced sessions are paced by this time.
        self.now = self.client.worker.clock.now();
        self.place().await.map_err(|none| if none == LocalReply::Unavailable { reply } else { none })
    }

    /// Takes one retry from the budget, if it has one.
    pub(super) fn may_retry(&self) -> bool {
        let worker = &self.client.worker;
        let may = worker.retries.withdraw(|| worker.balancer.requests());
        if !may {
            tracing::debug!("no retry: the budget is spent");
        }
        may
    }

    pub(super) fn set_cookie(&self, pick: &Pick) -> Option<HeaderValue> {
        let (cookie, token) = (self.client.settings.cookie.as_ref()?, pick.token.as_ref()?);
        HeaderValue::try_from(cookie.set_cookie(token.as_str(), self.https)).ok()
    }
}

/// How long to wait before the balancer is asked again. An upstream that is held for may be back before its time.
fn pause(left: Duration, reason: Wait) -> Duration {
    match reason {
        Wait::UpstreamReturn => left.clamp(Duration::from_millis(1), RECHECK_INTERVAL),
        Wait::Admission => left.max(Duration::from_millis(1)),
    }
}
