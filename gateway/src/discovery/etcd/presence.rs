//! What a gateway tells the others of its fleet.

use super::client::{AT_ONCE, EtcdClient, EtcdError};
use super::key::{FleetKey, KeyPrefix};
use super::lease::EtcdLease;
use super::message;
use homing::Balancer;
use homing::cluster::Sketch;
use homing::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// What a gateway said is forgotten so long after it has gone. Its sessions have gone to other gateways before.
const TTL: Duration = Duration::from_secs(15);

/// Tells who lives where, as this gateway has seen it, on a lease.
#[derive(Debug)]
pub struct LiveSessionsPublisher {
    client: EtcdClient,
    prefix: KeyPrefix,
    gateway: String,
    lease: EtcdLease,
    /// What was said, by upstream.
    said: HashMap<String, Sketch>,
}

impl LiveSessionsPublisher {
    /// Of the `gateway` of this name, which no other has, and which has no slash.
    #[must_use]
    pub fn new(client: EtcdClient, prefix: KeyPrefix, gateway: String) -> Self {
        let lease = EtcdLease::new(client.clone(), TTL);
        Self { client, prefix, gateway, lease, said: HashMap::new() }
    }

    /// Tells what has changed since the last time, and that the gateway is there. To be called every second or two.
    ///
    /// # Errors
    /// [`EtcdError`]. The next call makes good for it.
    pub async fn tell(&mut self, balancer: &Balancer, now: Timestamp) -> Result<(), EtcdError> {
        let held = self.lease.hold().await?;
        if held.is_new {
            self.said.clear();
        }
        let cluster = balancer.cluster();
        let sketches = cluster.members().iter().map(|member| (member.upstream().name(), member.upstream().sketch(now)));
        let is_news = |name: &str, sketch: &Sketch| match self.said.get(name) {
            Some(said) => said != sketch,
            None => !sketch.is_empty(),
        };
        let news: Vec<_> = sketches.filter(|(name, sketch)| is_news(name, sketch)).collect();
        let gone: Vec<_> = self.said.keys().filter(|name| cluster.find_name(name).is_none()).cloned().collect();
        let key = |upstream| self.prefix.full(FleetKey::Live { gateway: &self.gateway, upstream });
        let puts = news.iter().map(|(name, sketch)| message::put(&key(name), sketch.to_bytes(), Some(held.id)));
        let deletes = gone.iter().map(|name| message::delete(&key(name)));
        let parts: Vec<_> = puts.chain(deletes).collect();
        for parts in parts.chunks(AT_ONCE) {
            if let Err(error) = self.client.change(parts).await {
                if error.is_not_found() {
                    self.lease.lost();
                }
                return Err(error);
            }
        }
        let news: Vec<_> = news.into_iter().map(|(name, sketch)| (name.to_owned(), sketch)).collect();
        self.said.extend(news);
        gone.iter().for_each(|name| drop(self.said.remove(name)));
        Ok(())
    }
}
