//! Operators' orders, kept where all gateways see them.

use super::client::{AT_ONCE, EtcdClient, EtcdError, late};
use super::key::{FleetKey, KeyPrefix};
use super::message;
use crate::roster::{Override, Overrides, RosterStore, StoreError};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// An operator waits for it.
const WITHIN: Duration = Duration::from_secs(5);

/// Puts orders into etcd before they take effect; from there every gateway takes them over. Where etcd is not there, nothing
/// is changed: an order that other gateways did not get would be one that they undo.
///
/// Up to 100 orders are one transaction.
#[derive(Debug)]
pub struct EtcdOverrideStore {
    client: EtcdClient,
    prefix: KeyPrefix,
    /// The revision of the last order of our own.
    saved: SavedRevision,
}

/// The revision that orders have had last here. A source that has not come so far has nothing to say of them.
#[derive(Clone, Debug, Default)]
pub(super) struct SavedRevision(Arc<AtomicI64>);

impl SavedRevision {
    pub(super) fn is_behind(&self, revision: i64) -> bool {
        self.0.load(Ordering::Acquire) <= revision
    }
}

impl EtcdOverrideStore {
    pub(super) fn new(client: EtcdClient, prefix: KeyPrefix, saved: SavedRevision) -> Self {
        Self { client, prefix, saved }
    }

    async fn put(&self, changed: &[(&str, Option<&Override>)]) -> Result<(), EtcdError> {
        for changed in changed.chunks(AT_ONCE) {
            let part = |(name, override_): &(&str, Option<&Override>)| {
                let key = self.prefix.full(FleetKey::Override(name));
                match override_ {
                    Some(override_) => message::put(&key, json!(override_).to_string(), None),
                    None => message::delete(&key),
                }
            };
            let parts: Vec<_> = changed.iter().map(part).collect();
            let change = timeout(WITHIN, self.client.change(&parts)).await;
            self.saved.0.fetch_max(change.map_err(|_| late())??, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl RosterStore for EtcdOverrideStore {
    fn save(&self, changed: &[(&str, Option<&Override>)], _all: &Overrides) -> Result<(), StoreError> {
        // On a thread of its own, since whoever calls may be part of a runtime.
        let save = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(StoreError::new)?;
            runtime.block_on(self.put(changed)).map_err(StoreError::new)
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("etcd-orders".to_owned());
            let thread = thread.spawn_scoped(scope, save).map_err(StoreError::new)?;
            thread.join().unwrap_or_else(|_| Err(StoreError::new("the thread that saves has panicked")))
        })
    }
}
