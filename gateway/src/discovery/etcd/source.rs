//! The discovery source of a fleet: reads everything below its prefix, and watches it.

use super::client::EtcdClient;
use super::error::EtcdError;
use super::json_lines::JsonLines;
use super::key::{FleetKey, KeyPrefix};
use super::message::{KeyValue, RangeResponse, WatchEvent, WatchEventKind, WatchResponse, bytes};
use super::store::{EtcdOverrideStore, SavedRevision};
use crate::discovery::{DiscoveryError, DiscoverySource, DiscoveryUpdate, KeysText, NextUpdate};
use crate::roster::{InstanceReport, Override, Overrides};
use homing::cluster::{Sketch, UpstreamConfig};
use homing::config::Upstream;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A watch without a message for so long may be dead (etcd sends progress notifications): everything is read again.
const WATCH_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause between attempts, doubled from one to the next.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(5);

/// Everything that etcd has below a prefix, as it changes.
#[derive(Debug)]
pub struct EtcdSource {
    client: EtcdClient,
    prefix: KeyPrefix,
    /// The name of this gateway, whose own sketches are ignored.
    gateway: String,
    known: Known,
    saved: SavedRevision,
    updates: VecDeque<Result<DiscoveryUpdate, DiscoveryError>>,
    watch: Option<JsonLines<WatchResponse>>,
    is_synced: bool,
    /// Overrides have changed, and the update is held back until the watch reaches the last revision saved here.
    owes_overrides: bool,
    backoff: Option<Duration>,
}

/// The last good value of each key.
#[derive(Debug, Default)]
struct Known {
    upstreams: BTreeMap<String, UpstreamConfig>,
    overrides: Overrides,
    keys: Option<String>,
}

/// Which parts have changed.
#[derive(Debug, Default)]
struct Changed {
    upstreams: bool,
    overrides: bool,
    keys: bool,
}

impl EtcdSource {
    /// The source of the fleet whose keys begin with `prefix`. Sketches of this `gateway` itself are ignored.
    #[must_use]
    pub fn new(client: EtcdClient, prefix: KeyPrefix, gateway: String) -> Self {
        Self {
            client,
            prefix,
            gateway,
            known: Known::default(),
            saved: SavedRevision::default(),
            updates: VecDeque::new(),
            watch: None,
            is_synced: false,
            owes_overrides: false,
            backoff: None,
        }
    }

    /// Where operators' orders are to be kept: this source then reports no overrides older than those saved last.
    #[must_use]
    pub fn override_store(&self) -> EtcdOverrideStore {
        EtcdOverrideStore::new(self.client.clone(), self.prefix.clone(), self.saved.clone())
    }

    /// Reads everything, and watches from that revision on.
    async fn sync(&mut self) -> Result<(), EtcdError> {
        let (from, to) = self.prefix.range();
        let range = json!({"key": bytes(&from), "range_end": bytes(&to)});
        let RangeResponse { header, kvs } = self.client.call("/v3/kv/range", &range).await?;
        let watch = json!({"create_request": {
            "key": range["key"],
            "range_end": range["range_end"],
            "start_revision": (header.revision.0 + 1).to_string(),
            "progress_notify": true,
        }});
        let watch = self.client.stream("/v3/watch", &watch).await?;
        let mut changed = match self.is_synced {
            true => Changed::default(),
            // The first time an empty list is an update too.
            false => Changed { upstreams: true, overrides: true, keys: false },
        };
        let keys: HashSet<_> = kvs.iter().map(|pair| pair.key.0.clone()).collect();
        let is_there = |key: FleetKey<'_>| keys.contains(self.prefix.full(key).as_bytes());
        let Known { upstreams, overrides, .. } = &mut self.known;
        changed.upstreams |= retain(upstreams, |name| is_there(FleetKey::Upstream(name)));
        changed.overrides |= retain(overrides, |name| is_there(FleetKey::Override(name)));
        for pair in kvs {
            self.take(WatchEvent { kind: WatchEventKind::Put, kv: pair }, &mut changed);
        }
        self.queue(changed, header.revision.0);
        (self.watch, self.is_synced) = (Some(watch), true);
        Ok(())
    }

    /// Applies one event to what is known.
    fn take(&mut self, WatchEvent { kind, kv: KeyValue { key, value } }: WatchEvent, changed: &mut Changed) {
        let Ok(full) = String::from_utf8(key.0) else { return };
        let Some(key) = self.prefix.parse(&full) else { return };
        if kind == WatchEventKind::Delete {
            match key {
                FleetKey::Upstream(name) => changed.upstreams |= self.known.upstreams.remove(name).is_some(),
                FleetKey::Override(name) => changed.overrides |= self.known.overrides.remove(name).is_some(),
                // A deleted key ring is ignored, since without one no token could be verified; reports and sketches
                // expire.
                FleetKey::Keys | FleetKey::Report(_) | FleetKey::Live { .. } => {}
            }
            return;
        }
        if let Err(message) = self.put(key, &value.0, changed) {
            let message = format!("{message}; the value before it stays in force");
            self.updates.push_back(Err(DiscoveryError::Refused { place: format!("etcd key {full}"), message }));
        }
    }

    fn put(&mut self, key: FleetKey<'_>, value: &[u8], changed: &mut Changed) -> Result<(), String> {
        match key {
            FleetKey::Upstream(name) => {
                let config = upstream(name, value)?;
                changed.upstreams |= self.known.upstreams.get(name) != Some(&config);
                self.known.upstreams.insert(name.to_owned(), config);
            }
            FleetKey::Override(name) => {
                let override_: Override = serde_json::from_slice(value).map_err(|error| error.to_string())?;
                changed.overrides |= self.known.overrides.get(name) != Some(&override_);
                self.known.overrides.insert(name.to_owned(), override_);
            }
            FleetKey::Keys => {
                let text = std::str::from_utf8(value).map_err(|_| "it is not UTF-8".to_owned())?;
                changed.keys |= self.known.keys.as_deref() != Some(text);
                self.known.keys = Some(text.to_owned());
            }
            FleetKey::Report(name) => {
                let report: InstanceReport = serde_json::from_slice(value).map_err(|error| error.to_string())?;
                report.check().map_err(|error| error.to_string())?;
                self.updates.push_back(Ok(DiscoveryUpdate::Report { upstream: name.to_owned(), report }));
            }
            FleetKey::Live { gateway, upstream } => {
                if gateway != self.gateway {
                    let sketch = Sketch::from_bytes(value).map_err(|error| error.to_string())?;
                    let (gateway, upstream) = (gateway.to_owned(), upstream.to_owned());
                    self.updates.push_back(Ok(DiscoveryUpdate::Live { gateway, upstream, sketch }));
                }
            }
        }
        Ok(())
    }

    /// Queues an update for each part that has changed, the keys first.
    fn queue(&mut self, changed: Changed, revision: i64) {
        let Known { upstreams, keys, .. } = &self.known;
        let keys = keys.as_ref().filter(|_| changed.keys).map(|text| DiscoveryUpdate::Keys(KeysText(text.clone())));
        let members = changed.upstreams.then(|| DiscoveryUpdate::Members(upstreams.values().cloned().collect()));
        self.owes_overrides |= changed.overrides;
        let overrides = self.owes_overrides && self.saved.is_reached_by(revision);
        self.owes_overrides &= !overrides;
        let overrides = overrides.then(|| DiscoveryUpdate::Overrides(self.known.overrides.clone()));
        // In front of reports and sketches: their upstreams may have just been added.
        [overrides, members, keys].into_iter().flatten().for_each(|update| self.updates.push_front(Ok(update)));
    }

    async fn step(&mut self) -> Result<(), EtcdError> {
        let Some(watch) = &mut self.watch else {
            if let Some(backoff) = self.backoff {
                sleep(backoff).await;
            }
            let longer = self.backoff.map_or(*BACKOFF.start(), |backoff| (backoff * 2).min(*BACKOFF.end()));
            self.backoff = Some(longer);
            return self.sync().await;
        };
        match timeout(WATCH_TIMEOUT, watch.next()).await {
            Ok(Ok(Some(WatchResponse { header, canceled: false, events }))) => {
                self.backoff = None;
                let mut changed = Changed::default();
                events.into_iter().for_each(|event| self.take(event, &mut changed));
                self.queue(changed, header.revision.0);
            }
            // Canceled (its revision was compacted), ended, or silent: everything is read again.
            Ok(Ok(_)) | Err(_) => self.watch = None,
            Ok(Err(error)) => {
                self.watch = None;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl DiscoverySource for EtcdSource {
    fn next(&mut self) -> NextUpdate<'_> {
        Box::pin(async move {
            loop {
                if let Some(update) = self.updates.pop_front() {
                    return update;
                }
                self.step().await.map_err(|error| DiscoveryError::Unreachable {
                    from: self.client.endpoints(),
                    message: error.to_string(),
                })?;
            }
        })
    }
}

/// Whether anything was removed.
fn retain<T>(map: &mut BTreeMap<String, T>, keep: impl Fn(&str) -> bool) -> bool {
    let before = map.len();
    map.retain(|name, _| keep(name));
    map.len() < before
}

/// An upstream as configuration has it, but for its name, which is in the key.
fn upstream(name: &str, value: &[u8]) -> Result<UpstreamConfig, String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if fields.insert("name".to_owned(), name.into()).is_some() {
        return Err("unknown field `name`: the key has it".to_owned());
    }
    let upstream: Upstream = serde_json::from_value(fields.into()).map_err(|error| error.to_string())?;
    Ok(upstream.to_core())
}
