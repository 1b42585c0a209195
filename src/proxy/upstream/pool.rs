//! Kept-alive connections between exchanges, by upstream.
//!
//! Each worker has a pool of its own, so its lock is never contended; it is there so that a service may also be
//! shared by the threads of one runtime. The connection that was returned last is handed out first: the others grow
//! old and are closed when the load falls.

use super::UpstreamStream;
use super::connection::UpstreamConnection;
use super::transport::Transport;
use crate::cluster::{IdMap, Upstream};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// The most idle connections of one upstream. More than that at once are closed when they come back.
const MAX_IDLE_PER_UPSTREAM: usize = 1024;

#[derive(Debug)]
pub(crate) struct Pool<S = UpstreamStream> {
    idle: Mutex<IdleConnections<S>>,
    /// For how long a connection is kept, in milliseconds.
    timeout: AtomicU64,
}

#[derive(Debug)]
struct IdleConnections<S> {
    by_upstream: IdMap<IdleList<S>>,
    /// A task sweeps.
    is_swept: bool,
    /// How many sweeps there were: by that number the age of a connection is known without reading a clock.
    sweeps: u32,
}

#[derive(Debug)]
struct IdleList<S> {
    /// A changed address makes another `Upstream` of the same id; connections to the old one are of no use then.
    upstream: Arc<Upstream>,
    /// Each with the number of the sweep that came before it.
    connections: Vec<(Box<UpstreamConnection<S>>, u32)>,
}

impl<S: Transport + Send + 'static> Pool<S> {
    /// A pool that closes connections that have been idle for `timeout`.
    pub(crate) fn new(timeout: Duration) -> Arc<Self> {
        let idle = IdleConnections { by_upstream: IdMap::default(), is_swept: false, sweeps: 0 };
        let pool = Arc::new(Self { idle: Mutex::new(idle), timeout: AtomicU64::new(0) });
        pool.set_timeout(timeout);
        pool
    }

    /// Takes effect with the next sweep, for connections that are here too.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        // Called for every new client connection, and nearly always without a change.
        if self.timeout.load(Ordering::Relaxed) != timeout {
            self.timeout.store(timeout, Ordering::Relaxed);
        }
    }

    /// From one sweep to the next.
    fn sweep_interval(&self) -> Duration {
        let timeout = Duration::from_millis(self.timeout.load(Ordering::Relaxed));
        (timeout / 2).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }

    /// How many sweeps a connection outlives.
    fn max_sweeps(&self) -> u32 {
        let timeout = Duration::from_millis(self.timeout.load(Ordering::Relaxed));
        u32::try_from(timeout.as_nanos().div_ceil(self.sweep_interval().as_nanos())).unwrap_or(u32::MAX)
    }

    /// An open connection to this upstream, if there is one.
    pub(crate) fn take(&self, upstream: &Arc<Upstream>) -> Option<Box<UpstreamConnection<S>>> {
        loop {
            let mut connection = {
                let mut idle = self.idle.lock();
                let list = idle.by_upstream.get_mut(&upstream.id())?;
                if !Arc::ptr_eq(&list.upstream, upstream) {
                    return None;
                }
                list.connections.pop()?.0
            };
            if connection.is_still_open() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next exchange, if it is fit for one.
    pub(crate) fn put(self: &Arc<Self>, mut connection: Box<UpstreamConnection<S>>) {
        if !connection.is_reusable() {
            return;
        }
        connection.release_buffer();
        let mut idle = self.idle.lock();
        let sweeps = idle.sweeps;
        let upstream = connection.upstream();
        let list = idle
            .by_upstream
            .entry(upstream.id())
            .or_insert_with(|| IdleList { upstream: Arc::clone(upstream), connections: Vec::new() });
        if !Arc::ptr_eq(&list.upstream, upstream) {
            *list = IdleList { upstream: Arc::clone(upstream), connections: Vec::new() };
        }
        if list.connections.len() < MAX_IDLE_PER_UPSTREAM {
            list.connections.push((connection, sweeps));
        }
        // A body may be dropped after its runtime: then nothing here will be used again.
        if !idle.is_swept
            && let Ok(runtime) = Handle::try_current()
        {
            idle.is_swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), self.sweep_interval()));
        }
    }

    /// Closes connections that are too old or were closed by the upstream. True while some are left.
    fn sweep(&self) -> bool {
        let max_sweeps = self.max_sweeps();
        let idle = &mut *self.idle.lock();
        idle.sweeps = idle.sweeps.wrapping_add(1);
        idle.by_upstream.retain(|_, list| {
            list.connections.retain_mut(|(connection, since)| {
                idle.sweeps.wrapping_sub(*since) <= max_sweeps && connection.is_still_open()
            });
            !list.connections.is_empty()
        });
        idle.is_swept = !idle.by_upstream.is_empty();
        idle.is_swept
    }
}

/// Runs while there are idle connections; the next one that is put into an empty pool starts it anew.
async fn sweep<S: Transport + Send + 'static>(pool: Weak<Pool<S>>, mut interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        match pool.upgrade() {
            Some(pool) if pool.sweep() => interval = pool.sweep_interval(),
            _ => return,
        }
    }
}
