//! Overrides in etcd, where all gateways of the fleet see them.

use super::client::{EtcdClient, MAX_OPERATIONS};
use super::error::EtcdError;
use super::key::{FleetKey, KeyPrefix};
use super::message;
use crate::roster::{Override, Overrides, RosterStore, StoreError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// How long saving may take: an operator waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Saves overrides in etcd before they take effect; every other gateway takes them from there. So an override is in
/// force at every gateway, or at none: while etcd is unreachable nothing changes.
///
/// Up to 100 overrides are one transaction.
#[derive(Debug)]
pub struct EtcdOverrideStore {
    client: EtcdClient,
    prefix: KeyPrefix,
    /// The revision of the last override that this gateway saved.
    saved: SavedRevision,
}

/// The revision at which this gateway saved overrides last. Its source ignores what it reads of them at earlier
/// revisions.
#[derive(Clone, Debug, Default)]
pub(super) struct SavedRevision(Arc<AtomicI64>);

impl SavedRevision {
    pub(super) fn is_reached_by(&self, revision: i64) -> bool {
        self.0.load(Ordering::Acquire) <= revision
    }
}

impl EtcdOverrideStore {
    pub(super) fn new(client: EtcdClient, prefix: KeyPrefix, saved: SavedRevision) -> Self {
        Self { client, prefix, saved }
    }

    async fn put(&self, changed: &[(&str, Option<&Override>)]) -> Result<(), EtcdError> {
        for changed in changed.chunks(MAX_OPERATIONS) {
            let part = |(name, override_): &(&str, Option<&Override>)| {
                let key = self.prefix.full(FleetKey::Override(name));
                match override_ {
                    Some(override_) => message::put(&key, json!(override_).to_string(), None),
                    None => message::delete(&key),
                }
            };
            let parts: Vec<_> = changed.iter().map(part).collect();
            let change = timeout(TIMEOUT, self.client.change(&parts)).await;
            self.saved.0.fetch_max(change.map_err(|_| EtcdError::timeout())??, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl RosterStore for EtcdOverrideStore {
    fn save(&self, changed: &[(&str, Option<&Override>)], _all: &Overrides) -> Result<(), StoreError> {
        // On a thread of its own, since the caller may be on a runtime, which must not be nested.
        let save = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(StoreError::new)?;
            runtime.block_on(self.put(changed)).map_err(StoreError::new)
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("etcd-overrides".to_owned());
            let thread = thread.spawn_scoped(scope, save).map_err(StoreError::new)?;
            thread.join().unwrap_or_else(|_| Err(StoreError::new("the thread that saves overrides has panicked")))
        })
    }
}
