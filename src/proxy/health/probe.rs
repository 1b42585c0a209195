//! The probes of one upstream: what is sent, what the response means, and which process gave it.

use crate::cluster::Upstream;
use crate::health::{Outcome, ProbeResult};
use crate::proxy::http1::{fields_of, line};
use crate::proxy::settings::{ProbeProfile, ProbeSettings};
use crate::proxy::upstream::connection::UpstreamConnection;
use crate::proxy::upstream::error::{BodyError, ConnectError, ExchangeError};
use crate::proxy::upstream::upload::NoBody;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use twox_hash::XxHash64;

/// The most that is read of a body. A longer one ends the connection, and tells nothing of the process.
const MAX_BODY: usize = 64 * 1024;

/// What a probe has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// `None` where the probe failed because of this machine, and tells nothing of the upstream.
    pub(crate) result: Option<ProbeResult>,
    /// The process that answered, where it says so.
    pub(crate) incarnation: Option<u16>,
}

/// Why there was no response.
enum Failure {
    Connect(ConnectError),
    /// Nothing came, or no valid response.
    Broken,
}

/// Probes one upstream, over a connection that is kept from one probe to the next.
#[derive(Debug)]
pub(crate) struct Prober {
    upstream: Arc<Upstream>,
    settings: Arc<ProbeSettings>,
    /// The request; `None` where a probe is a connection alone.
    head: Option<Vec<u8>>,
    connection: Option<UpstreamConnection>,
}

impl Prober {
    pub(crate) fn new(upstream: Arc<Upstream>, settings: Arc<ProbeSettings>) -> Self {
        let head = settings.path.as_deref().map(|path| request(path, upstream.address()));
        Self { upstream, settings, head, connection: None }
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub(crate) async fn probe(&mut self) -> Finding {
        let within = self.settings.timeout;
        let probed = match timeout(within, self.exchange(within)).await {
            Ok(probed) => probed,
            Err(_) => Err(Failure::Broken),
        };
        let none = |result| Finding { result, incarnation: None };
        match probed {
            Ok(finding) => finding,
            Err(Failure::Broken) => none(Some(ProbeResult::TimedOut)),
            Err(Failure::Connect(error)) => none(match error.outcome() {
                Some(Outcome::ConnectRefused) => Some(ProbeResult::Refused),
                Some(_) => Some(ProbeResult::TimedOut),
                None => None,
            }),
        }
    }

    async fn exchange(&mut self, within: Duration) -> Result<Finding, Failure> {
        let kept = self.connection.take().and_then(|mut connection| connection.is_still_open().then_some(connection));
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect(within).await?,
        };
        let Some(head) = &self.head else {
            return Ok(Finding { result: Some(ProbeResult::Passed), incarnation: None });
        };
        let response = loop {
            match connection.exchange::<NoBody>(head, &mut None, false, within).await {
                Ok(response) => break response,
                // The upstream closed it between two probes.
                Err(ExchangeError::Unsent | ExchangeError::Broken { answered: false, .. })
                    if connection.is_reused() =>
                {
                    connection = self.connect(within).await?;
                }
                Err(_) => return Err(Failure::Broken),
            }
        };
        let body = body(&mut connection).await.map_err(|_| Failure::Broken)?;
        let (status, fields) = (response.status, fields_of(response.lines));
        let finding = Finding {
            result: Some(self.result(status, &fields)),
            incarnation: self.incarnation(&fields, body.as_deref().unwrap_or_default()),
        };
        self.connection = Some(connection).filter(|connection| connection.is_reusable());
        Ok(finding)
    }

    async fn connect(&self, within: Duration) -> Result<UpstreamConnection, Failure> {
        UpstreamConnection::connect(Arc::clone(&self.upstream), None, within).await.map_err(Failure::Connect)
    }

    fn result(&self, status: StatusCode, fields: &HeaderMap) -> ProbeResult {
        let is_full = self.settings.profile == ProbeProfile::Wisej
            && status == StatusCode::SERVICE_UNAVAILABLE
            && fields.contains_key(RETRY_AFTER);
        match status {
            status if status.is_success() => ProbeResult::Passed,
            _ if is_full => ProbeResult::Full,
            status => ProbeResult::Status(status.as_u16()),
        }
    }

    fn incarnation(&self, fields: &HeaderMap, body: &[u8]) -> Option<u16> {
        let by_header = self.settings.incarnation_header.as_ref().and_then(|name| fields.get(name));
        if let Some(value) = by_header {
            return Some(number(value.as_bytes()));
        }
        let pointer = self.settings.incarnation_json.as_deref()?;
        let json: serde_json::Value = serde_json::from_slice(body).ok()?;
        match json.pointer(pointer)? {
            serde_json::Value::String(text) => Some(number(text.as_bytes())),
            scalar @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                Some(number(scalar.to_string().as_bytes()))
            }
            _ => None,
        }
    }
}

fn request(path: &str, address: &str) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\n").into_bytes();
    line(&mut head, "host", address.as_bytes());
    line(&mut head, "user-agent", concat!("homing-probe/", env!("CARGO_PKG_VERSION")).as_bytes());
    line(&mut head, "accept", b"*/*");
    head.extend_from_slice(b"\r\n");
    head
}

/// The body, unless it is too long.
async fn body(connection: &mut UpstreamConnection) -> Result<Option<Vec<u8>>, BodyError> {
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| connection.poll_frame::<NoBody>(cx, &mut None)).await {
        let frame = frame?;
        body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if body.len() > MAX_BODY {
            return Ok(None);
        }
    }
    Ok(Some(body))
}

/// The incarnation number of a process with this name: the same on every proxy, and never 0.
fn number(name: &[u8]) -> u16 {
    let hash = XxHash64::oneshot(0, name);
    1 + (hash % u64::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_frozen_and_never_zero() {
        let numbers: Vec<u16> = (0..100_000_u32).map(|name| number(name.to_string().as_bytes())).collect();
        assert!(!numbers.contains(&0));
        let different: std::collections::HashSet<_> = numbers.iter().collect();
        // Of 65,535 a hundred thousand draws miss one in e^1.526.
        assert!((49_000..54_000).contains(&different.len()), "{}", different.len());
    }
}
