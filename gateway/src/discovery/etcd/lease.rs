//! What goes when whoever put it there is silent for too long.

use super::client::{EtcdClient, EtcdError};
use super::message::{Int64, LeaseResponse, StreamedResult};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// A lease that is taken when it is needed and again when it was lost.
#[derive(Debug)]
pub(super) struct EtcdLease {
    client: EtcdClient,
    ttl: Duration,
    held: Option<(Int64, Instant)>,
}

/// A lease that holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLease {
    pub(super) id: Int64,
    /// Nothing is on it yet.
    pub(super) is_new: bool,
}

impl EtcdLease {
    /// For `ttl`, of which etcd takes whole seconds.
    pub(super) fn new(client: EtcdClient, ttl: Duration) -> Self {
        Self { client, ttl, held: None }
    }

    /// To be called often enough: it is renewed when a third of its time is over.
    pub(super) async fn hold(&mut self) -> Result<HeldLease, EtcdError> {
        if let Some((id, renewed)) = self.held {
            if renewed.elapsed() < self.ttl / 3 {
                return Ok(HeldLease { id, is_new: false });
            }
            let answer: StreamedResult<LeaseResponse> =
                self.client.call("/v3/lease/keepalive", &json!({"ID": id})).await?;
            if answer.result.ttl.0 > 0 {
                self.held = Some((id, Instant::now()));
                return Ok(HeldLease { id, is_new: false });
            }
        }
        self.held = None;
        let seconds = Int64(i64::try_from(self.ttl.as_secs().max(1)).unwrap_or(i64::MAX));
        let answer: LeaseResponse = self.client.call("/v3/lease/grant", &json!({"TTL": seconds})).await?;
        self.held = Some((answer.id, Instant::now()));
        Ok(HeldLease { id: answer.id, is_new: true })
    }

    /// It is no more, as something else told.
    pub(super) fn lost(&mut self) {
        self.held = None;
    }

    /// Gives it back, and with it goes what is on it.
    pub(super) async fn revoke(&mut self) -> Result<(), EtcdError> {
        match self.held.take() {
            Some((id, _)) => {
                self.client.call("/v3/lease/revoke", &json!({"ID": id})).await.map(|_: serde_json::Value| ())
            }
            None => Ok(()),
        }
    }
}
