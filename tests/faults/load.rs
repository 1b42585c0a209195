//! Many sessions over a few connections, at a pace, until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::session::{Link, Session, Visit};

/// How often it is looked whether all have visited.
const LOOK: Duration = Duration::from_millis(5);

/// Visits in a row of which one succeeds at the least, a POST among them failing.
pub const OFTEN: u64 = 3;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Connections, each with its share of the sessions.
    pub connections: usize,
    /// Visits a second, of all connections together; fewer where answers take longer.
    pub rate: u32,
}

pub struct Load {
    clients: Vec<Client>,
    stop: Arc<AtomicBool>,
}

struct Client {
    task: JoinHandle<(Vec<Session>, Vec<Visit>)>,
    /// How often all its sessions have visited.
    rounds: Arc<AtomicU64>,
}

impl Load {
    pub fn start(front: SocketAddr, sessions: Vec<Session>, pace: Pace) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut shares: Vec<Vec<Session>> = (0..pace.connections.min(sessions.len())).map(|_| Vec::new()).collect();
        let connections = shares.len();
        for (index, session) in sessions.into_iter().enumerate() {
            shares[index % connections].push(session);
        }
        let period = Duration::from_secs(1) * connections as u32 / pace.rate;
        let begin = |sessions| {
            let rounds = Arc::new(AtomicU64::new(0));
            let task = tokio::spawn(client(front, sessions, period, Arc::clone(&rounds), Arc::clone(&stop)));
            Client { task, rounds }
        };
        Self { clients: shares.into_iter().map(begin).collect(), stop }
    }

    /// Waits until each session has visited so many times, beginning from now.
    pub async fn visits(&self, times: u64) {
        // The round under way has visits that began before.
        let goals: Vec<_> =
            self.clients.iter().map(|client| client.rounds.load(Ordering::SeqCst) + times + 1).collect();
        for (client, goal) in self.clients.iter().zip(goals) {
            while client.rounds.load(Ordering::SeqCst) < goal {
                assert!(!client.task.is_finished(), "a client has ended early");
                sleep(LOOK).await;
            }
        }
    }

    /// Ends it after the visits under way: the sessions, and all their visits.
    pub async fn stop(self) -> (Vec<Session>, Vec<Visit>) {
        self.stop.store(true, Ordering::SeqCst);
        let (mut sessions, mut visits) = (Vec::new(), Vec::new());
        for client in self.clients {
            let (mut some, mut seen) = client.task.await.expect("a client");
            sessions.append(&mut some);
            visits.append(&mut seen);
        }
        (sessions, visits)
    }
}

async fn client(
    front: SocketAddr,
    mut sessions: Vec<Session>,
    period: Duration,
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> (Vec<Session>, Vec<Visit>) {
    let mut link = Link::new(front);
    let mut visits = Vec::new();
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for session in &mut sessions {
            pace.tick().await;
            if stop.load(Ordering::SeqCst) {
                return (sessions, visits);
            }
            visits.push(session.visit(&mut link).await);
        }
        rounds.fetch_add(1, Ordering::SeqCst);
    }
}
