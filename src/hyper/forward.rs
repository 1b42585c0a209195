//! The way of one request to an upstream and of its answer back: pick, connect, exchange, and another try where
//! that is safe.

use super::Refusal;
use super::access_log::AccessLog;
use super::body::{RequestBody, ResponseBody, Tail};
use super::check::check_response;
use super::client::{Client, ExchangeMark};
use super::conn::{Conn, ConnectError, ExchangeError};
use super::fields::Fields;
use super::headers::{prepare_request, prepare_response, says_https, wants_upgrade};
use super::tunnel::tunnel;
use crate::balancer::{Pick, PickError};
use crate::cluster::UpstreamId;
use crate::http::cookie::tokens;
use crate::time::Timestamp;
use http::header::{COOKIE, Entry, HOST, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How many upstreams one request is offered to before it is given up.
const MAX_TRIES: usize = 8;

/// What the balancer wants to know of whoever sent the request.
struct Sender<'c> {
    client: &'c Client,
    address: IpAddr,
    now: Timestamp,
    https: bool,
    cookies: Cookies,
    /// Upstreams that this request has been turned away from.
    tried: Vec<UpstreamId>,
}

/// The `Cookie` lines as they came. Nearly always there is one, and keeping it allocates nothing.
struct Cookies {
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl Cookies {
    fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(COOKIE).into_iter().cloned();
        Self { first: lines.next(), others: lines.collect() }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.first.iter().chain(&self.others).map(HeaderValue::as_bytes)
    }
}

impl<'c> Sender<'c> {
    fn of(client: &'c Client, address: IpAddr, headers: &HeaderMap) -> Self {
        Self {
            client,
            address,
            now: client.shared.clock.now(),
            https: client.is_https() || (client.peer_is_trusted() && says_https(headers)),
            cookies: Cookies::of(headers),
            tried: Vec::new(),
        }
    }

    fn pick(&self) -> Result<Pick, Refusal> {
        let shared = &self.client.shared;
        let request = crate::Request::new(self.now).client(self.address).tried(&self.tried);
        let picked = match &shared.cookie {
            Some(cookie) => shared.balancer.pick(&request.tokens(&tokens(self.cookies.lines(), cookie.name()))),
            None => shared.balancer.pick(&request),
        };
        picked.map_err(|error| match error {
            PickError::Unavailable => Refusal::Unavailable,
            PickError::Full => Refusal::Full,
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
    mut parts: request::Parts,
    fields: Fields,
    body: RequestBody,
    address: IpAddr,
    log: &mut AccessLog,
) -> Result<Response<ResponseBody>, Refusal> {
    let mut sender = Sender::of(mark.client(), address, &parts.headers);
    let mut pick = sender.pick()?;
    // What comes after the head of an upgrade is the other protocol's, so there can be no body.
    let upgrade = if wants_upgrade(&parts, fields) && body.is_end_stream() {
        parts.extensions.remove::<OnUpgrade>()
    } else {
        None
    };
    let upload = body.progress();
    prepare_request(&mut parts, fields, mark.client(), upgrade.is_some());
    if body.size_hint().exact().is_none() {
        // hyper would send a GET of unknown length without its body.
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // A client of HTTP/1.0 may name no host; HTTP/1.1 must.
    if let Entry::Vacant(host) = parts.headers.entry(HOST) {
        let address = HeaderValue::from_str(pick.upstream().address()).map_err(|_| Refusal::NoHost)?;
        host.insert(address);
    }
    parts.extensions.clear();
    let mut request = Request::from_parts(parts, body);
    let mut replay = Replay::of(&request);
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
        if conn.is_reused() && replay.is_none() {
            // This one cannot be sent twice, so let the runtime hear first whether the upstream has just hung up.
            tokio::task::yield_now().await;
            if !conn.is_still_free() {
                continue;
            }
        }
        match conn.exchange(request, upload.as_deref(), shared.timeouts.response).await {
            Ok(response) => break (conn, response),
            Err(ExchangeError::Unsent(unsent)) => {
                request = *unsent;
                if !conn.is_reused() {
                    pick = sender.pick_another(pick.upstream().id(), Refusal::UpstreamClosed)?;
                }
            }
            Err(ExchangeError::Broken { error, answered }) => {
                tracing::debug!(upstream = pick.upstream().name(), %error, answered, "exchange broke off");
                let again = if answered { None } else { replay.take() };
                let Some(again) = again else { return Err(broken_refusal(&error, answered)) };
                request = again;
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

    let (mut head, incoming) = response.into_parts();
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let tunnel = upgrade.filter(|_| upgraded);
    if upgraded && tunnel.is_none() {
        return Err(Refusal::BadResponse);
    }
    let fields = Fields::of(&head.headers);
    check_response(&head.headers, fields)?;
    prepare_response(&mut head.headers, fields, upgraded);
    if let Some(set_cookie) = sender.set_cookie(&pick) {
        head.headers.append(SET_COOKIE, set_cookie);
    }
    head.version = http::Version::HTTP_11;
    head.extensions.clear();
    log.answered(head.status);
    let log = std::mem::take(log);
    let body = if let Some(upgrade) = tunnel {
        mark.client().activity.note_upgrade();
        tokio::spawn(switch(upgrade, conn, pick, shared.timeouts.idle, log));
        ResponseBody::text("")
    } else {
        ResponseBody::upstream(
            incoming,
            Tail {
                conn: Some(conn),
                log,
                timed: false,
                upload,
                uploaded: 0,
                _lease: pick.lease,
                mark: mark.streaming(),
            },
        )
    };
    Ok(Response::from_parts(head, body))
}

/// After the 101 has gone to the client: the tunnel, which holds the lease as long as it lives.
async fn switch(upgrade: OnUpgrade, conn: Box<Conn>, pick: Pick, idle: Duration, _log: AccessLog) {
    let upstream = conn.into_stream().await;
    let (client, (stream, early)) = match (upgrade.await, upstream) {
        (Ok(client), Ok(upstream)) => (client, upstream),
        _ => return,
    };
    // Either side may end a tunnel as it likes, so its errors are nobody's.
    if let Err(error) = tunnel(TokioIo::new(client), stream, early, idle).await {
        tracing::debug!(upstream = pick.upstream().name(), %error, "tunnel broke off");
    }
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

fn broken_refusal(error: &hyper::Error, answered: bool) -> Refusal {
    if error.is_user() {
        // Of all that is handed to hyper, only the client's body can fail.
        Refusal::BadBody
    } else if answered {
        Refusal::BadResponse
    } else {
        Refusal::UpstreamClosed
    }
}

/// A copy of a request that may be sent once more: its method is idempotent (RFC 9110, 9.2.2) and it has no body.
struct Replay(Option<Request<RequestBody>>);

impl Replay {
    fn of(request: &Request<RequestBody>) -> Self {
        let idempotent = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
        if !idempotent.contains(request.method()) || !request.body().is_end_stream() {
            return Self(None);
        }
        let mut copy = Request::new(RequestBody::empty());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Self(Some(copy))
    }

    fn is_none(&self) -> bool {
        self.0.is_none()
    }

    fn take(&mut self) -> Option<Request<RequestBody>> {
        self.0.take()
    }
}
