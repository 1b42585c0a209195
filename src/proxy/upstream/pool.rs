//! Kept-alive connections, by upstream.
//!
//! Each worker has a pool of its own, so its lock is never contended; it is there so that a service may also be
//! shared by the threads of one runtime. The last connection returned is the first handed out: the others grow
//! old and are closed when the load falls.

use super::connection::Conn;
use crate::cluster::{IdMap, Upstream};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// The most connections that lie idle for one upstream. More than that at once are closed when they come back.
const IDLE_PER_UPSTREAM: usize = 1024;

#[derive(Debug)]
pub(crate) struct Pool {
    shelves: Mutex<Shelves>,
    /// For how long a connection is kept, in milliseconds.
    idle: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelves {
    by_upstream: IdMap<Shelf>,
    is_swept: bool,
    /// Counts the looks, so that a connection's age costs no reading of a clock.
    look: u32,
}

#[derive(Debug)]
struct Shelf {
    /// A changed address makes another cell of the same id; what was connected to the old one is of no use then.
    upstream: Arc<Upstream>,
    /// Each with the look that came before it.
    idle: Vec<(Box<Conn>, u32)>,
}

impl Pool {
    /// A pool that closes what has lain idle for `idle`.
    pub(crate) fn new(idle: Duration) -> Arc<Self> {
        let pool = Arc::new(Self { shelves: Mutex::default(), idle: AtomicU64::new(0) });
        pool.keep_for(idle);
        pool
    }

    /// What lies here is kept for `idle` from the next look on.
    pub(crate) fn keep_for(&self, idle: Duration) {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        // Told by every new connection, and nearly always for nothing.
        if self.idle.load(Ordering::Relaxed) != idle {
            self.idle.store(idle, Ordering::Relaxed);
        }
    }

    /// How often what lies here is looked through.
    fn interval(&self) -> Duration {
        let idle = Duration::from_millis(self.idle.load(Ordering::Relaxed));
        (idle / 2).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }

    /// How many such looks a connection is kept for.
    fn looks(&self) -> u32 {
        let idle = Duration::from_millis(self.idle.load(Ordering::Relaxed));
        u32::try_from(idle.as_nanos().div_ceil(self.interval().as_nanos())).unwrap_or(u32::MAX)
    }

    /// An open connection to this upstream, if one lies here.
    pub(crate) fn take(&self, upstream: &Arc<Upstream>) -> Option<Box<Conn>> {
        loop {
            let mut conn = {
                let mut shelves = self.shelves.lock();
                let shelf = shelves.by_upstream.get_mut(&upstream.id())?;
                if !Arc::ptr_eq(&shelf.upstream, upstream) {
                    return None;
                }
                shelf.idle.pop()?.0
            };
            if conn.is_still_open() {
                return Some(conn);
            }
        }
    }

    /// Keeps a connection for the next exchange, if it is fit for one.
    pub(crate) fn put(self: &Arc<Self>, mut conn: Box<Conn>) {
        if !conn.is_free() {
            return;
        }
        conn.rest();
        let mut shelves = self.shelves.lock();
        let look = shelves.look;
        let upstream = conn.upstream();
        let shelf = shelves
            .by_upstream
            .entry(upstream.id())
            .or_insert_with(|| Shelf { upstream: Arc::clone(upstream), idle: Vec::new() });
        if !Arc::ptr_eq(&shelf.upstream, upstream) {
            *shelf = Shelf { upstream: Arc::clone(upstream), idle: Vec::new() };
        }
        if shelf.idle.len() < IDLE_PER_UPSTREAM {
            shelf.idle.push((conn, look));
        }
        // A body may be dropped after its runtime; then nothing here is of use to anybody.
        if !shelves.is_swept
            && let Ok(runtime) = Handle::try_current()
        {
            shelves.is_swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), self.interval()));
        }
    }

    /// Closes what is too old or was closed at the other end. True while something is left.
    fn clear(&self) -> bool {
        let looks = self.looks();
        let shelves = &mut *self.shelves.lock();
        shelves.look = shelves.look.wrapping_add(1);
        shelves.by_upstream.retain(|_, shelf| {
            shelf.idle.retain_mut(|(conn, since)| shelves.look.wrapping_sub(*since) <= looks && conn.is_still_open());
            !shelf.idle.is_empty()
        });
        shelves.is_swept = !shelves.by_upstream.is_empty();
        shelves.is_swept
    }
}

/// Runs while there is something to sweep; the next connection put into an empty pool starts the next one.
async fn sweep(pool: Weak<Pool>, mut interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        match pool.upgrade() {
            Some(pool) if pool.clear() => interval = pool.interval(),
            _ => return,
        }
    }
}
