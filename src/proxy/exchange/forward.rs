//! The way of one request to an upstream and of its response back: place, connect, exchange, and further attempts
//! where the [`RetryPlan`] allows them.

use super::client::{Client, ExchangeMark};
use super::placement::Placement;
use super::request_body::RequestBody;
use super::request_head::request_head;
use super::response::{Content, DownstreamResponse};
use super::response_body::{ResponseBody, UpstreamBody};
use super::retry_plan::{Failure, Origin, RetryPlan, Step};
use super::upgrade::Upgrade;
use crate::balancer::Pick;
use crate::cluster::Decision;
use crate::health::Outcome;
use crate::proxy::access_log::AccessLog;
use crate::proxy::http1::fields::{self, Fields};
use crate::proxy::http1::header_rules::{via, wanted_protocol};
use crate::proxy::http1::{Length, ResponseHead};
use crate::proxy::local_reply::LocalReply;
use crate::proxy::tunnel::TunnelProtocol;
use crate::proxy::upstream::connection::UpstreamConnection;
use crate::proxy::upstream::error::{BodyError, ConnectError, ExchangeError};
use crate::proxy::upstream::upload::Upload;
use http::header::{SET_COOKIE, VIA};
use http::{Method, StatusCode, Version, request};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a fresh connection has to stay open before the last run of a request is spent on it. A process that dies
/// closes its sockets one after the other, the listener among them, and what connects meanwhile is reset unread.
const SETTLE: Duration = Duration::from_millis(10);

/// Forwards a request that has been validated.
pub(super) async fn forward(
    mark: ExchangeMark,
    parts: &request::Parts,
    fields: Fields,
    body: Option<RequestBody>,
    address: IpAddr,
    log: &mut AccessLog,
) -> Result<DownstreamResponse, LocalReply> {
    let mut placement = Placement::new(mark.client(), address, parts);
    let mut assigned = placement.place().await?;
    // What follows the head of an upgrade belongs to the other protocol, so there can be no body.
    let protocol = wanted_protocol(parts, fields).filter(|_| body.is_none());
    let mut upload = body.map(|body| Box::new(Upload::new(body)));
    let length = match &upload {
        Some(upload) => upload.length(),
        None if fields.has(fields::CONTENT_LENGTH) => Length::Exact(0),
        None => Length::None,
    };
    let head = request_head(parts, fields, mark.client(), protocol, length, assigned.upstream().address());
    let to_head = parts.method == Method::HEAD;
    let mut plan = RetryPlan::new(upload.is_none() && is_idempotent(&parts.method));

    let Client { worker, settings, .. } = &**mark.client();
    let (connection, response) = loop {
        log.picked(assigned.upstream(), assigned.decision);
        let kept = if plan.needs_fresh_connection() { None } else { worker.pool.take(assigned.upstream()) };
        let connected = match kept {
            Some(connection) => Ok(connection),
            // Boxed: it is rare and large, and would be a part of every request's future.
            None => {
                let statistics = Some(worker.statistics.worker_statistics(worker.number, assigned.upstream()));
                let upstream = Arc::clone(assigned.upstream());
                let connecting = UpstreamConnection::connect(upstream, statistics, settings.timeouts.connect);
                Box::pin(connecting).await.map(Box::new)
            }
        };
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                if let Some(outcome) = error.outcome() {
                    worker.report(assigned.upstream(), outcome);
                }
                let reply = connect_reply(&assigned, &error);
                match next_step(&mut plan, &placement, Failure::Connect) {
                    Step::Stop => return Err(reply),
                    _ => assigned = placement.place_again(assigned, reply).await?,
                }
                continue;
            }
        };
        let origin = if connection.is_reused() { Origin::KeptAlive } else { Origin::Fresh };
        if origin == Origin::KeptAlive && !plan.may_run_again() {
            // This request cannot be sent twice, so the runtime gets a chance to learn that the upstream has just
            // closed.
            tokio::task::yield_now().await;
            if !connection.is_still_open() {
                // Nothing was sent, so the plan has nothing to count.
                continue;
            }
        }
        // Boxed: it is rare.
        let is_open = !plan.needs_fresh_connection() || Box::pin(settles(&mut connection)).await;
        let start = Instant::now();
        let exchanged = if is_open {
            connection.exchange(&head, &mut upload, to_head, settings.timeouts.response).await
        } else {
            Err(ExchangeError::Unsent)
        };
        // An attempt that fails at once must not count as a quick response; one that times out is a slow one.
        if let Ok(_) | Err(ExchangeError::TimedOut { client: false }) = &exchanged {
            let taken = start.elapsed();
            assigned.upstream().observe(taken, placement.now.after(taken));
            connection.statistics().inspect(|statistics| statistics.responded(taken));
        }
        let failure = match exchanged {
            Ok(response) => break (connection, response),
            Err(ExchangeError::TimedOut { client: true }) => return Err(LocalReply::RequestTimeout),
            Err(ExchangeError::TimedOut { client: false }) => {
                worker.report(assigned.upstream(), Outcome::TimedOut { after: settings.timeouts.response });
                return Err(LocalReply::ResponseTimeout);
            }
            Err(ExchangeError::Unsent) => Failure::Unsent(origin),
            Err(ExchangeError::Broken { error, answered }) => {
                tracing::debug!(upstream = assigned.upstream().name(), %error, answered, "exchange broke off");
                if let BodyError::Upload(_) = error {
                    return Err(LocalReply::BadBody);
                }
                match error {
                    _ if answered => Failure::Answered,
                    BodyError::Io(error) if error.kind() == ErrorKind::ConnectionReset => Failure::Reset,
                    _ => Failure::Broken(origin),
                }
            }
        };
        // A kept-alive connection that closes says little about the upstream; a fresh one will tell.
        if !matches!(failure, Failure::Unsent(Origin::KeptAlive) | Failure::Broken(Origin::KeptAlive)) {
            worker.report(assigned.upstream(), Outcome::Broken);
        }
        drop(connection);
        match next_step(&mut plan, &placement, failure) {
            Step::Reconnect | Step::Resend => {}
            Step::Another => assigned = placement.place_again(assigned, LocalReply::UpstreamClosed).await?,
            Step::Stop if failure == Failure::Answered => return Err(LocalReply::BadResponse),
            Step::Stop => return Err(LocalReply::UpstreamClosed),
        }
    };

    let status = response.status;
    let is_upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
    if is_upgraded && protocol.is_none() {
        worker.report(assigned.upstream(), Outcome::Broken);
        return Err(LocalReply::BadResponse);
    }
    let outcome = if status.is_server_error() { Outcome::ServerError } else { Outcome::Answered };
    worker.report(assigned.upstream(), outcome);
    let tunnel_protocol = tunnel_protocol(&response);
    let mut answer = DownstreamResponse::from_upstream(response);
    answer.add(&VIA, via(Version::HTTP_11).as_bytes());
    if let Some(name) = &settings.lost_header {
        answer.remove(name);
        if let Decision::PinLost(loss) = assigned.decision
            && loss.is_displaced()
        {
            answer.add(name, assigned.decision.as_str().as_bytes());
        }
    }
    if let Some(set_cookie) = placement.set_cookie(&assigned) {
        answer.add(&SET_COOKIE, set_cookie.as_bytes());
    }
    log.answered(status);
    let log = std::mem::take(log);
    let Pick { lease, session_id, .. } = assigned;
    answer.content = if is_upgraded {
        let (worker, idle) = (Arc::clone(worker), settings.timeouts.idle);
        let protocol = tunnel_protocol;
        Content::Upgrade(Box::new(Upgrade { connection, lease, session_id, protocol, worker, idle, _log: log }))
    } else {
        let mark = mark.streaming();
        Content::Body(ResponseBody::upstream(UpstreamBody::new(connection, upload, log, lease, mark)))
    };
    Ok(answer)
}

/// Whether a connection is still open after [`SETTLE`].
async fn settles(connection: &mut UpstreamConnection) -> bool {
    tokio::time::sleep(SETTLE).await;
    connection.is_still_open()
}

/// The plan's step, as far as the retry budget allows it.
fn next_step(plan: &mut RetryPlan, placement: &Placement<'_>, failure: Failure) -> Step {
    match plan.after(failure) {
        step if step.spends_budget() && !placement.may_retry() => Step::Stop,
        step => step,
    }
}

fn connect_reply(assigned: &Pick, error: &ConnectError) -> LocalReply {
    let (name, address) = (assigned.upstream().name(), assigned.upstream().address());
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

fn tunnel_protocol(response: &ResponseHead) -> TunnelProtocol {
    match &response.protocol {
        Some(name) if name.eq_ignore_ascii_case(b"websocket") => TunnelProtocol::WebSocket,
        _ => TunnelProtocol::Opaque,
    }
}

/// RFC 9110, section 9.2.2: sending it twice has the effect of sending it once.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE)
}
