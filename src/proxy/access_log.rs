//! One line a request, when the exchange is over.

use crate::cluster::{Decision, Upstream};
use crate::proxy::LocalReply;
use http::{StatusCode, request};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The `tracing` target of access lines, at level INFO.
pub const ACCESS_TARGET: &str = "homing::access";

/// Collects an access line and writes it when dropped. Empty, and free, where nobody listens.
#[derive(Debug, Default)]
pub(crate) struct AccessLog(Option<Box<Line>>);

#[derive(Debug)]
struct Line {
    client: IpAddr,
    method: http::Method,
    /// Without the query, which may hold what logs should not.
    path: String,
    start: Instant,
    /// `None` where the client left before there was an answer.
    status: Option<StatusCode>,
    refusal: Option<LocalReply>,
    upstream: Option<Arc<Upstream>>,
    decision: Option<Decision>,
    sent: u64,
}

impl AccessLog {
    pub(super) fn start(parts: &request::Parts, client: IpAddr) -> Self {
        if !tracing::enabled!(target: ACCESS_TARGET, tracing::Level::INFO) {
            return Self(None);
        }
        Self(Some(Box::new(Line {
            client,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            start: Instant::now(),
            status: None,
            refusal: None,
            upstream: None,
            decision: None,
            sent: 0,
        })))
    }

    pub(super) fn picked(&mut self, upstream: &Arc<Upstream>, decision: Decision) {
        if let Some(line) = &mut self.0 {
            line.upstream = Some(Arc::clone(upstream));
            // A request that was tried on two upstreams tells why it left the first.
            line.decision = Some(decision);
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        if let Some(line) = &mut self.0 {
            line.status = Some(status);
        }
    }

    pub(super) fn refused(&mut self, refusal: LocalReply) {
        if let Some(line) = &mut self.0 {
            line.status = Some(refusal.status());
            line.refusal = Some(refusal);
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(line) = &mut self.0 {
            line.sent += bytes as u64;
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(line) = self.0.take() else { return };
        tracing::info!(
            target: ACCESS_TARGET,
            client = %line.client,
            method = %line.method,
            path = line.path,
            status = line.status.map(|status| status.as_u16()),
            refusal = line.refusal.map(LocalReply::as_str),
            upstream = line.upstream.as_ref().map(|upstream| upstream.name()),
            decision = line.decision.map(Decision::as_str),
            bytes = line.sent,
            ms = line.start.elapsed().as_secs_f64() * 1e3,
        );
    }
}
