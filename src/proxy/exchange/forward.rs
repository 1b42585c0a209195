//! The way of one request to an upstream and of its answer back: pick, connect, exchange, and another try where
//! that is safe.

use super::body::{BodyError, RequestBody, ResponseBody, Tail};
use super::client::{Client, ExchangeMark};
use super::place::Placed;
use super::queue::{Asked, LOOK, Line};
use super::request_head::request_head;
use super::response::{Answer, Content};
use crate::balancer::{PickError, View, Wait};
use crate::cluster::{Decision, UpstreamId};
use crate::health::Outcome;
use crate::http::cookie::{legacy_cookies, tokens};
use crate::proxy::LocalReply;
use crate::proxy::access_log::AccessLog;
use crate::proxy::http1::Length;
use crate::proxy::http1::fields::{self, Fields};
use crate::proxy::http1::header_rules::{lines, says_https, via, wanted_protocol};
use crate::proxy::tunnel::{Speech, Tunnel};
use crate::proxy::upstream::connection::{Conn, ConnectError, ExchangeError};
use crate::proxy::upstream::upload::Upload;
use crate::time::Timestamp;
use http::header::{COOKIE, SET_COOKIE, VIA};
use http::{HeaderValue, Method, StatusCode, Version, request};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many upstreams one request is offered to before it is given up.
const MAX_TRIES: usize = 8;

/// What the balancer wants to know of whoever sent the request.
struct Sender<'c> {
    client: &'c Client,
    parts: &'c request::Parts,
    address: IpAddr,
    now: Timestamp,
    https: bool,
    /// Upstreams that this request has been turned away from.
    tried: Vec<UpstreamId>,
    /// How often it was.
    tries: usize,
}

impl<'c> Sender<'c> {
    fn of(client: &'c Client, address: IpAddr, parts: &'c request::Parts) -> Self {
        Self {
            client,
            parts,
            address,
            now: client.shared.clock.now(),
            https: client.is_https() || (client.peer_is_trusted() && says_https(&parts.headers)),
            tried: Vec::new(),
            tries: 0,
        }
    }

    /// Hands over what the balancer is told of this request, and the moment of it that this is told to.
    fn asking<T>(&self, ask: impl FnOnce(&View<'_>, &crate::Request<'_>) -> T) -> T {
        let Client { shared, settings, .. } = self.client;
        let view = shared.balancer.view();
        let headers = &self.parts.headers;
        let request = crate::Request::new(self.now).client(self.address).tried(&self.tried);
        let target = self.parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let key = settings.key.of(target, |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes));
        let request = crate::Request { key, no_wait: !shared.queue.is_open(), ..request };
        let cookies = || lines(headers, &COOKIE);
        match &settings.cookie {
            Some(cookie) if view.accepted().is_empty() => {
                ask(&view, &request.tokens(&tokens(cookies(), cookie.name())))
            }
            Some(cookie) => {
                let (tokens, legacy_cookies) =
                    (tokens(cookies(), cookie.name()), legacy_cookies(cookies, view.accepted()));
                ask(&view, &request.tokens(&tokens).legacy_cookies(&legacy_cookies))
            }
            None => ask(&view, &request),
        }
    }

    fn pick(&self) -> Result<Placed, PickError> {
        let shared = &self.client.shared;
        let pick = self.asking(|view, request| view.pick(request))?;
        Ok(Placed::new(pick, shared))
    }

    /// A place at an upstream, at once or after a wait for it.
    async fn place(&mut self) -> Result<Placed, LocalReply> {
        match self.pick() {
            Ok(placed) if self.client.shared.queue.is_empty() => Ok(placed),
            // Boxed because it is rare, and would be a part of every request's future.
            picked => Box::pin(self.wait(picked)).await,
        }
    }

    async fn wait(&mut self, picked: Result<Placed, PickError>) -> Result<Placed, LocalReply> {
        let queue = &self.client.shared.queue;
        let first = match picked {
            Ok(placed) if !queue.overtakes(placed.decision, placed.upstream().id()) => return Ok(placed),
            Ok(placed) => {
                let (decision, home) = (placed.decision, placed.upstream().id());
                // Free before this one waits, for those who wait already.
                drop(placed);
                self.full((decision == Decision::Pinned).then_some(home))
            }
            Err(error) => self.asked(Err(error)),
        };
        match first {
            Asked::Refused(refusal) => Err(refusal),
            _ if !queue.is_open() => Err(LocalReply::Full),
            first => {
                queue
                    .wait(first, || {
                        self.now = self.client.shared.clock.now();
                        let picked = self.pick();
                        self.asked(picked)
                    })
                    .await
            }
        }
    }

    fn asked(&mut self, picked: Result<Placed, PickError>) -> Asked<Placed> {
        let shared = &self.client.shared;
        match picked {
            Ok(placed) => {
                let upstream = placed.upstream().id();
                Asked::Placed(placed, upstream)
            }
            Err(PickError::Full) => self.full(self.asking(|view, request| view.pinned_upstream(request))),
            Err(PickError::Later { at, reason }) => {
                let left = at.since(shared.clock.now());
                if reason == Wait::UpstreamReturn {
                    // Whoever is waited for is welcome when it is back.
                    self.tried.clear();
                }
                Asked::Later(pause(left, reason))
            }
            Err(PickError::Unavailable) => Asked::Refused(LocalReply::Unavailable),
            Err(PickError::Rejected(_)) => Asked::Refused(LocalReply::Rejected),
            Err(PickError::Entropy(error)) => {
                tracing::error!(%error, "cannot place a new session");
                Asked::Refused(LocalReply::Internal)
            }
        }
    }

    /// Where this request waits for room: at its session's home, or for any place.
    fn full(&self, home: Option<UpstreamId>) -> Asked<Placed> {
        match home {
            Some(home) => Asked::Full(Line::Home(home)),
            None if self.tried.is_empty() => Asked::Full(Line::Any),
            // It cannot take what all others can, so it must not stand before them.
            None => Asked::Later(LOOK),
        }
    }

    /// Another upstream, now that this one turned the request away; `refusal` if there is none, or too much is tried
    /// again already.
    async fn pick_another(&mut self, failed: Placed, refusal: LocalReply) -> Result<Placed, LocalReply> {
        self.tried.push(failed.upstream().id());
        drop(failed);
        self.tries += 1;
        if self.tries == MAX_TRIES || !self.may_retry() {
            return Err(refusal);
        }
        // Connecting may have taken long, and others are paced by this time.
        self.now = self.client.shared.clock.now();
        self.place().await.map_err(|none| if none == LocalReply::Unavailable { refusal } else { none })
    }

    fn may_retry(&self) -> bool {
        let shared = &self.client.shared;
        let may = shared.retries.withdraw(|| shared.balancer.requests());
        if !may {
            tracing::debug!("no retry: the budget is spent");
        }
        may
    }

    fn set_cookie(&self, pick: &Placed) -> Option<HeaderValue> {
        let (cookie, token) = (self.client.settings.cookie.as_ref()?, pick.token.as_ref()?);
        HeaderValue::try_from(cookie.set_cookie(token.as_str(), self.https)).ok()
    }
}

pub(crate) async fn forward(
    mark: ExchangeMark,
    parts: &request::Parts,
    fields: Fields,
    body: Option<RequestBody>,
    address: IpAddr,
    log: &mut AccessLog,
) -> Result<Answer, LocalReply> {
    let mut sender = Sender::of(mark.client(), address, parts);
    let mut pick = sender.place().await?;
    // What comes after the head of an upgrade is the other protocol's, so there can be no body.
    let protocol = wanted_protocol(parts, fields).filter(|_| body.is_none());
    let mut upload = body.map(|body| Box::new(Upload::new(body)));
    let length = match &upload {
        Some(upload) => upload.length(),
        None if fields.has(fields::CONTENT_LENGTH) => Length::Exact(0),
        None => Length::None,
    };
    let head = request_head(parts, fields, mark.client(), protocol, length, pick.upstream().address());
    let may_upgrade = protocol.is_some();
    let to_head = parts.method == Method::HEAD;
    let is_repeatable = upload.is_none() && is_idempotent(&parts.method);
    // What may have been sent is sent to one other upstream at most.
    let mut may_leave = is_repeatable;
    let mut fresh = false;

    let Client { shared, settings, .. } = &**mark.client();
    let (conn, response) = loop {
        log.picked(pick.upstream(), pick.decision);
        let pooled = if fresh { None } else { shared.pool.take(pick.upstream()) };
        let connected = match pooled {
            Some(conn) => Ok(conn),
            // Boxed because it is rare and large, and would be a part of every request's future.
            None => {
                let cell = Some(shared.ledger.cell(shared.worker, pick.upstream()));
                let conn = Conn::connect(Arc::clone(pick.upstream()), cell, settings.timeouts.connect);
                Box::pin(conn).await.map(Box::new)
            }
        };
        let mut conn = match connected {
            Ok(conn) => conn,
            Err(error) => {
                if let Some(outcome) = connect_outcome(&error) {
                    shared.report(pick.upstream(), outcome);
                }
                let refusal = connect_refusal(&pick, &error);
                pick = sender.pick_another(pick, refusal).await?;
                fresh = false;
                continue;
            }
        };
        if conn.is_reused() && !is_repeatable {
            // This one cannot be sent twice, so let the runtime hear first whether the upstream has just hung up.
            tokio::task::yield_now().await;
            if !conn.is_still_open() {
                continue;
            }
        }
        let start = Instant::now();
        let exchanged = conn.exchange(&head, upload.take(), to_head, settings.timeouts.response).await;
        // What fails at once must not look quick; what never comes is slow.
        if let Ok(_) | Err(ExchangeError::TimedOut { client: false }) = &exchanged {
            let taken = start.elapsed();
            pick.upstream().observe(taken, sender.now.after(taken));
            conn.cell().inspect(|cell| cell.responded(taken));
        }
        match exchanged {
            Ok(response) => break (conn, response),
            Err(ExchangeError::Unsent(unsent)) => {
                upload = unsent;
                if !conn.is_reused() {
                    shared.report(pick.upstream(), Outcome::Broken);
                    drop(conn);
                    pick = sender.pick_another(pick, LocalReply::UpstreamClosed).await?;
                    fresh = false;
                }
            }
            Err(ExchangeError::Broken { error, answered }) => {
                tracing::debug!(upstream = pick.upstream().name(), %error, answered, "exchange broke off");
                // A kept connection that breaks says little about the upstream; a new one will tell.
                fresh = conn.is_reused();
                if (answered || !fresh) && !matches!(error, BodyError::Upload(_)) {
                    shared.report(pick.upstream(), Outcome::Broken);
                }
                let may_repeat = if fresh { is_repeatable } else { std::mem::take(&mut may_leave) };
                if answered || !may_repeat {
                    return Err(broken_refusal(&error, answered));
                }
                drop(conn);
                if !fresh {
                    pick = sender.pick_another(pick, LocalReply::UpstreamClosed).await?;
                } else if !sender.may_retry() {
                    return Err(LocalReply::UpstreamClosed);
                }
            }
            Err(ExchangeError::TimedOut { client: true }) => return Err(LocalReply::RequestTimeout),
            Err(ExchangeError::TimedOut { client: false }) => {
                shared.report(pick.upstream(), Outcome::TimedOut { after: settings.timeouts.response });
                return Err(LocalReply::ResponseTimeout);
            }
        }
    };

    let status = response.status;
    let upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
    if upgraded && !may_upgrade {
        shared.report(pick.upstream(), Outcome::Broken);
        return Err(LocalReply::BadResponse);
    }
    shared.report(pick.upstream(), if status.is_server_error() { Outcome::ServerError } else { Outcome::Answered });
    let speech = match &response.protocol {
        Some(name) if name.eq_ignore_ascii_case(b"websocket") => Speech::WebSocket,
        _ => Speech::Opaque,
    };
    let mut answer = Answer::upstreams(response);
    answer.add(&VIA, via(Version::HTTP_11).as_bytes());
    if let Some(name) = &settings.lost_header {
        answer.remove(name);
        if let Decision::PinLost(lost) = pick.decision
            && lost.is_displaced()
        {
            answer.add(name, pick.decision.as_str().as_bytes());
        }
    }
    if let Some(set_cookie) = sender.set_cookie(&pick) {
        answer.add(&SET_COOKIE, set_cookie.as_bytes());
    }
    log.answered(status);
    let log = std::mem::take(log);
    answer.content = if upgraded {
        let (shared, session_id, idle) = (Arc::clone(shared), pick.session_id, settings.timeouts.idle);
        Content::Tunnel(Box::new(Tunnel { conn, lease: pick.lease, session_id, speech, shared, idle, _log: log }))
    } else {
        let uploaded = conn.uploaded();
        let mark = mark.streaming();
        let tail = Tail { conn: Some(conn), log, timed: false, uploaded, _lease: pick.lease, mark };
        Content::Body(ResponseBody::upstream(tail))
    };
    Ok(answer)
}

fn connect_refusal(pick: &Placed, error: &ConnectError) -> LocalReply {
    let (name, address) = (pick.upstream().name(), pick.upstream().address());
    match error {
        ConnectError::TimedOut => {
            tracing::warn!(upstream = name, address, "connecting timed out");
            LocalReply::ConnectTimeout
        }
        ConnectError::Failed(error) => {
            tracing::warn!(upstream = name, address, %error, "cannot connect");
            LocalReply::ConnectFailed
        }
    }
}

/// What a failed connection says about the upstream, if it says anything.
pub(crate) fn connect_outcome(error: &ConnectError) -> Option<Outcome> {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
    };
    let ConnectError::Failed(error) = error else { return Some(Outcome::ConnectTimedOut) };
    match error.kind() {
        ConnectionRefused => Some(Outcome::ConnectRefused),
        TimedOut | HostUnreachable | NetworkUnreachable => Some(Outcome::ConnectTimedOut),
        ConnectionReset | ConnectionAborted => Some(Outcome::Broken),
        // Its name has no address, or nobody knows. That may be true of all upstreams at once, so it proves nothing.
        _ if error.raw_os_error().is_none() => Some(Outcome::Broken),
        // No file descriptor or no port is left: this machine's own trouble.
        _ => None,
    }
}

/// How long to wait before the balancer is asked again. One that is waited for may be back before its time.
fn pause(left: Duration, reason: Wait) -> Duration {
    match reason {
        Wait::UpstreamReturn => left.clamp(Duration::from_millis(1), LOOK),
        Wait::Admission => left.max(Duration::from_millis(1)),
    }
}

fn broken_refusal(error: &BodyError, answered: bool) -> LocalReply {
    match error {
        BodyError::Upload(_) => LocalReply::BadBody,
        _ if answered => LocalReply::BadResponse,
        _ => LocalReply::UpstreamClosed,
    }
}

/// RFC 9110, 9.2.2: sending it twice does what sending it once does.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE)
}
