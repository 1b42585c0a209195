//! New sessions that only look where new sessions are placed.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::session::{Link, Session};

/// Their numbers begin here, beyond those of all others.
pub const FIRST: u32 = 1 << 30;

/// A session without a response for so long was placed on an instance that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// New sessions in a row that went elsewhere: then an instance takes no more of them.
const IN_A_ROW: u32 = 50;

/// Ends a test in which new sessions never go where they should. No test measures time by it.
const GUARD: Duration = Duration::from_secs(120);

pub struct Scouts {
    front: SocketAddr,
    next: u32,
}

impl Scouts {
    pub fn new(front: SocketAddr) -> Self {
        Self { front, next: FIRST }
    }

    /// The instance that responds to a new session, if one does.
    pub async fn send(&mut self) -> Option<String> {
        let mut session = Session::new(self.next);
        self.next += 1;
        timeout(PATIENCE, session.visit(&mut Link::new(self.front))).await.ok()?;
        session.home
    }

    /// Returns when a new session is placed on that instance.
    pub async fn find(&mut self, instance: &str) {
        let found = timeout(GUARD, async {
            while self.send().await.as_deref() != Some(instance) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("no new session is placed on {instance}"));
    }

    /// Returns when new sessions keep away from that instance, and fails if any still finds it then.
    pub async fn keep_away_from(&mut self, instance: &str) {
        let away = timeout(GUARD, async {
            let mut away = 0;
            while away < IN_A_ROW {
                away = if self.strays_to(instance).await { 0 } else { away + 1 };
            }
        });
        away.await.unwrap_or_else(|_| panic!("new sessions are still placed on {instance}"));
        for _ in 0..2 * IN_A_ROW {
            assert!(!self.strays_to(instance).await, "a new session is placed on {instance} again");
        }
    }

    /// Whether a new session is placed on that instance, or on one that does not answer.
    pub async fn strays_to(&mut self, instance: &str) -> bool {
        self.send().await.is_none_or(|home| home == instance)
    }

    /// Whether any of as many new sessions as prove the opposite is placed there.
    pub async fn any_strays_to(&mut self, instance: &str) -> bool {
        for _ in 0..IN_A_ROW {
            if self.strays_to(instance).await {
                return true;
            }
        }
        false
    }
}
