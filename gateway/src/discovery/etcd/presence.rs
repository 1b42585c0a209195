//! Publishes the sessions that live on each upstream, as this gateway has seen them.

use super::client::{EtcdClient, MAX_OPERATIONS};
use super::error::EtcdError;
use super::key::{FleetKey, KeyPrefix};
use super::lease::EtcdLease;
use super::message;
use homing::Balancer;
use homing::cluster::Sketch;
use homing::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// The sketches of a gateway that has ended are deleted after so long. Its sessions are with other gateways by then.
const TTL: Duration = Duration::from_secs(15);

/// Publishes a sketch of the live sessions of each upstream, on a lease.
#[derive(Debug)]
pub struct LiveSessionsPublisher {
    client: EtcdClient,
    prefix: KeyPrefix,
    gateway: String,
    lease: EtcdLease,
    /// The sketches in etcd, by upstream.
    published: HashMap<String, Sketch>,
}

impl LiveSessionsPublisher {
    /// For the gateway of this name, which must be unique in the fleet and have no slash.
    #[must_use]
    pub fn new(client: EtcdClient, prefix: KeyPrefix, gateway: String) -> Self {
        let lease = EtcdLease::new(client.clone(), TTL);
        Self { client, prefix, gateway, lease, published: HashMap::new() }
    }

    /// Publishes what has changed since the last call, and renews the lease. To be called every second or two.
    ///
    /// # Errors
    /// [`EtcdError`]. The next call publishes what this one did not.
    pub async fn publish(&mut self, balancer: &Balancer, now: Timestamp) -> Result<(), EtcdError> {
        let held = self.lease.hold().await?;
        if held.is_new {
            self.published.clear();
        }
        let cluster = balancer.cluster();
        let sketches = cluster.members().iter().map(|member| (member.upstream().name(), member.upstream().sketch(now)));
        let has_changed = |name: &str, sketch: &Sketch| match self.published.get(name) {
            Some(published) => published != sketch,
            None => !sketch.is_empty(),
        };
        let changed: Vec<_> = sketches.filter(|(name, sketch)| has_changed(name, sketch)).collect();
        let gone: Vec<_> = self.published.keys().filter(|name| cluster.find_name(name).is_none()).cloned().collect();
        let key = |upstream| self.prefix.full(FleetKey::Live { gateway: &self.gateway, upstream });
        let puts = changed.iter().map(|(name, sketch)| message::put(&key(name), sketch.to_bytes(), Some(held.id)));
        let deletes = gone.iter().map(|name| message::delete(&key(name)));
        let operations: Vec<_> = puts.chain(deletes).collect();
        for operations in operations.chunks(MAX_OPERATIONS) {
            if let Err(error) = self.client.change(operations).await {
                if error.is_not_found() {
                    self.lease.lost();
                }
                return Err(error);
            }
        }
        let changed: Vec<_> = changed.into_iter().map(|(name, sketch)| (name.to_owned(), sketch)).collect();
        self.published.extend(changed);
        gone.iter().for_each(|name| drop(self.published.remove(name)));
        Ok(())
    }
}
