//! The access log: one line a request, written when the exchange is over.

use crate::cluster::{Decision, Upstream};
use crate::proxy::local_reply::LocalReply;
use http::{StatusCode, request};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The `tracing` target of the access log, at level INFO.
pub const ACCESS_TARGET: &str = "homing::access";

/// Collects the entry of a request and writes it when dropped. Empty, and free, where no subscriber is interested.
#[derive(Debug, Default)]
pub(crate) struct AccessLog(Option<Box<AccessEntry>>);

#[derive(Debug)]
struct AccessEntry {
    client: IpAddr,
    method: http::Method,
    /// Without the query, which may hold what logs should not.
    path: String,
    start: Instant,
    /// `None` where the client left before there was a response.
    status: Option<StatusCode>,
    reply: Option<LocalReply>,
    upstream: Option<Arc<Upstream>>,
    decision: Option<Decision>,
    sent: u64,
}

impl AccessLog {
    pub(super) fn start(parts: &request::Parts, client: IpAddr) -> Self {
        if !tracing::enabled!(target: ACCESS_TARGET, tracing::Level::INFO) {
            return Self(None);
        }
        Self(Some(Box::new(AccessEntry {
            client,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            start: Instant::now(),
            status: None,
            reply: None,
            upstream: None,
            decision: None,
            sent: 0,
        })))
    }

    pub(super) fn picked(&mut self, upstream: &Arc<Upstream>, decision: Decision) {
        if let Some(entry) = &mut self.0 {
            entry.upstream = Some(Arc::clone(upstream));
            // Of a request that was tried on two upstreams, the decision tells why it left the first.
            entry.decision = Some(decision);
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        if let Some(entry) = &mut self.0 {
            entry.status = Some(status);
        }
    }

    pub(super) fn replied(&mut self, reply: LocalReply) {
        if let Some(entry) = &mut self.0 {
            entry.status = Some(reply.status());
            entry.reply = Some(reply);
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.0 {
            entry.sent += bytes as u64;
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(entry) = self.0.take() else { return };
        tracing::info!(
            target: ACCESS_TARGET,
            client = %entry.client,
            method = %entry.method,
            path = entry.path,
            status = entry.status.map(|status| status.as_u16()),
            refusal = entry.reply.map(LocalReply::as_str),
            upstream = entry.upstream.as_ref().map(|upstream| upstream.name()),
            decision = entry.decision.map(Decision::as_str),
            bytes = entry.sent,
            ms = entry.start.elapsed().as_secs_f64() * 1e3,
        );
    }
}
