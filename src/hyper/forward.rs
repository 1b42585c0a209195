//! The way of one request to an upstream and of its answer back: pick, connect, exchange, and another try where
//! that is safe.

use super::Refusal;
use super::access_log::AccessLog;
use super::answer::{Answer, Content};
use super::body::{BodyError, RequestBody, ResponseBody, Tail};
use super::client::{Client, ExchangeMark};
use super::conn::{Conn, ConnectError, ExchangeError};
use super::fields::{self, Fields};
use super::headers::{lines, says_https, via, wanted_protocol};
use super::http1::{Length, request_head};
use super::tunnel::{Speech, Tunnel};
use super::upload::Upload;
use crate::balancer::{Pick, PickError};
use crate::cluster::UpstreamId;
use crate::http::cookie::tokens;
use crate::time::Timestamp;
use http::header::{COOKIE, SET_COOKIE, VIA};
use http::{HeaderValue, Method, StatusCode, Version, request};
use std::net::IpAddr;
use std::sync::Arc;
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
        }
    }

    fn pick(&self) -> Result<Pick, Refusal> {
        let shared = &self.client.shared;
        let headers = &self.parts.headers;
        let request = crate::Request::new(self.now).client(self.address).tried(&self.tried);
        let target = self.parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let key = shared.key.of(target, |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes));
        let request = crate::Request { key, ..request };
        let picked = match &shared.cookie {
            Some(cookie) => shared.balancer.pick(&request.tokens(&tokens(lines(headers, &COOKIE), cookie.name()))),
            None => shared.balancer.pick(&request),
        };
        picked.map_err(|error| match error {
            PickError::Unavailable => Refusal::Unavailable,
            PickError::Full | PickError::Later { .. } => Refusal::Full,
            PickError::Rejected(_) => Refusal::Rejected,
            PickError::Entropy(error) => {
                tracing::error!(%error, "cannot place a new session");
                Refusal::Internal
            }
        })
    }

    /// Another upstream, now that this one turned the request away; `refusal` if there is none.
    fn pick_another(&mut self, failed: UpstreamId, refusal: Refusal) -> Result<Pick, Refusal> {
        self.tried.push(failed);
        if self.tried.len() == MAX_TRIES {
            return Err(refusal);
        }
        self.pick().map_err(|none| if none == Refusal::Unavailable { refusal } else { none })
    }

    fn set_cookie(&self, pick: &Pick) -> Option<HeaderValue> {
        let (cookie, token) = (self.client.shared.cookie.as_ref()?, pick.token.as_ref()?);
        HeaderValue::try_from(cookie.set_cookie(token.as_str(), self.https)).ok()
    }
}

pub(super) async fn forward(
    mark: ExchangeMark,
    parts: &request::Parts,
    fields: Fields,
    body: Option<RequestBody>,
    address: IpAddr,
    log: &mut AccessLog,
) -> Result<Answer, Refusal> {
    let mut sender = Sender::of(mark.client(), address, parts);
    let mut pick = sender.pick()?;
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
    let mut may_repeat = upload.is_none() && is_idempotent(&parts.method);
    let mut fresh = false;

    let shared = &mark.client().shared;
    let (conn, response) = loop {
        log.picked(pick.upstream(), pick.decision);
        let pooled = if fresh { None } else { shared.pool.take(pick.upstream()) };
        let connected = match pooled {
            Some(conn) => Ok(conn),
            // Boxed because it is rare and large, and would be a part of every request's future.
            None => Box::pin(Conn::connect(Arc::clone(pick.upstream()), shared.timeouts.connect)).await.map(Box::new),
        };
        let mut conn = match connected {
            Ok(conn) => conn,
            Err(error) => {
                pick = sender.pick_another(pick.upstream().id(), connect_refusal(&pick, &error))?;
                continue;
            }
        };
        if conn.is_reused() && !may_repeat {
            // This one cannot be sent twice, so let the runtime hear first whether the upstream has just hung up.
            tokio::task::yield_now().await;
            if !conn.is_still_open() {
                continue;
            }
        }
        let start = pick.upstream().is_observed().then(Instant::now);
        let exchanged = conn.exchange(&head, upload.take(), to_head, shared.timeouts.response).await;
        // What fails at once must not look quick; what never comes is slow.
        if let (Some(start), Ok(_) | Err(ExchangeError::TimedOut { client: false })) = (start, &exchanged) {
            pick.upstream().observe(start.elapsed(), sender.now.after(start.elapsed()));
        }
        match exchanged {
            Ok(response) => break (conn, response),
            Err(ExchangeError::Unsent(unsent)) => {
                upload = unsent;
                if !conn.is_reused() {
                    pick = sender.pick_another(pick.upstream().id(), Refusal::UpstreamClosed)?;
                }
            }
            Err(ExchangeError::Broken { error, answered }) => {
                tracing::debug!(upstream = pick.upstream().name(), %error, answered, "exchange broke off");
                if answered || !std::mem::take(&mut may_repeat) {
                    return Err(broken_refusal(&error, answered));
                }
                // A kept connection that breaks says little about the upstream; a new one will tell.
                fresh = conn.is_reused();
                if !fresh {
                    pick = sender.pick_another(pick.upstream().id(), Refusal::UpstreamClosed)?;
                }
            }
            Err(ExchangeError::TimedOut { client: true }) => return Err(Refusal::RequestTimeout),
            Err(ExchangeError::TimedOut { client: false }) => return Err(Refusal::ResponseTimeout),
        }
    };

    let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if upgraded && !may_upgrade {
        return Err(Refusal::BadResponse);
    }
    let speech = match &response.protocol {
        Some(name) if name.eq_ignore_ascii_case(b"websocket") => Speech::WebSocket,
        _ => Speech::Opaque,
    };
    let mut answer = Answer::upstreams(response);
    answer.add(&VIA, via(Version::HTTP_11).as_bytes());
    if let Some(set_cookie) = sender.set_cookie(&pick) {
        answer.add(&SET_COOKIE, set_cookie.as_bytes());
    }
    log.answered(answer.status);
    let log = std::mem::take(log);
    answer.content = if upgraded {
        let (shared, nonce) = (Arc::clone(shared), pick.nonce);
        Content::Tunnel(Box::new(Tunnel { conn, lease: pick.lease, nonce, speech, shared, _log: log }))
    } else {
        let uploaded = conn.uploaded();
        let mark = mark.streaming();
        let tail = Tail { conn: Some(conn), log, timed: false, uploaded, _lease: pick.lease, mark };
        Content::Body(ResponseBody::upstream(tail))
    };
    Ok(answer)
}

fn connect_refusal(pick: &Pick, error: &ConnectError) -> Refusal {
    let (name, address) = (pick.upstream().name(), pick.upstream().address());
    match error {
        ConnectError::TimedOut => {
            tracing::warn!(upstream = name, address, "connecting timed out");
            Refusal::ConnectTimeout
        }
        ConnectError::Failed(error) => {
            tracing::warn!(upstream = name, address, %error, "cannot connect");
            Refusal::ConnectFailed
        }
    }
}

fn broken_refusal(error: &BodyError, answered: bool) -> Refusal {
    match error {
        BodyError::Upload(_) => Refusal::BadBody,
        _ if answered => Refusal::BadResponse,
        _ => Refusal::UpstreamClosed,
    }
}

/// RFC 9110, 9.2.2: sending it twice does what sending it once does.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE)
}
