//! The state of one instance.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::sessions::Sessions;

/// The memory of one incarnation.
pub(super) struct Instance {
    name: String,
    address: SocketAddr,
    incarnation: u16,
    started: Instant,
    sessions: Mutex<Sessions>,
    /// While it is set, the instance accepts connections and does nothing else.
    hangs: watch::Sender<bool>,
    /// While it is set, probes are answered that it takes no new sessions.
    pub(super) full: AtomicBool,
}

impl Instance {
    pub(super) fn new(name: &str, address: SocketAddr, incarnation: u16) -> Instance {
        Instance {
            name: name.to_owned(),
            address,
            incarnation,
            started: Instant::now(),
            sessions: Mutex::default(),
            hangs: watch::Sender::new(false),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    pub(super) fn hangs(&self) -> bool {
        *self.hangs.borrow()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn incarnation(&self) -> u16 {
        self.incarnation
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock()
    }

    pub(super) fn facts(&self, visits: u64) -> Value {
        json!({
            "instance": self.name,
            "incarnation": self.incarnation,
            "visits": visits,
            "address": self.address,
            "pid": std::process::id(),
            "uptime_seconds": self.started.elapsed().as_secs(),
        })
    }

    /// Does `work`, and nothing while the instance hangs. `work` has to own the instance.
    pub(super) fn unless_hanging<W: Future<Output = ()>>(&self, work: W) -> impl Future<Output = ()> + use<W> {
        let mut hangs = self.hangs.subscribe();
        async move {
            let mut work = pin!(work);
            // The sender lives as long as the instance, which `work` owns.
            while hangs.wait_for(|hangs| !hangs).await.is_ok() {
                tokio::select! {
                    biased;
                    _ = hangs.wait_for(|hangs| *hangs) => {}
                    () = &mut work => return,
                }
            }
        }
    }
}
