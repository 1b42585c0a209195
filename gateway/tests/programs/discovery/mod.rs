//! Sources of upstreams against what they read: a real folder, a real name server on loopback, a real etcd.

mod dns;
mod etcd;
mod file;

use homing::UpstreamConfig;
use homing_gateway::discovery::{DiscoveryError, DiscoverySource, DiscoveryUpdate};
use std::time::Duration;
use tokio::time::timeout;

/// Ends a test that hangs. No test measures time by it.
const GUARD: Duration = Duration::from_secs(60);

/// What a source says next, good or bad.
async fn next(source: &mut dyn DiscoverySource) -> Result<DiscoveryUpdate, DiscoveryError> {
    timeout(GUARD, source.next()).await.expect("the source says something")
}

/// The members that it says next. Errors before them are passed over.
async fn members(source: &mut dyn DiscoverySource) -> Vec<UpstreamConfig> {
    loop {
        if let Ok(DiscoveryUpdate::Members(members)) = next(source).await {
            return members;
        }
    }
}

/// The next error. Nothing new may come before it.
async fn error(source: &mut dyn DiscoverySource) -> DiscoveryError {
    match next(source).await {
        Err(error) => error,
        Ok(update) => panic!("{update:?} where an error should be"),
    }
}
