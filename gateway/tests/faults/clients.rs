//! Clients that have their sessions visit in rounds, until told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::session::Session;

/// How often it is looked whether all have visited.
const LOOK: Duration = Duration::from_millis(5);

/// Whose visits are each a `V`.
pub struct Clients<V> {
    clients: Vec<Client<V>>,
    stop: Arc<AtomicBool>,
}

struct Client<V> {
    task: JoinHandle<(Vec<Session>, Vec<V>)>,
    rounds: Arc<AtomicU64>,
}

/// What a client receives, and reports.
pub struct Rounds {
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Rounds {
    pub fn are_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// All its sessions have visited once more.
    pub fn one_more(&self) {
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

impl<V: Send + 'static> Clients<V> {
    pub fn none() -> Self {
        Self { clients: Vec::new(), stop: Arc::default() }
    }

    /// One more, which goes on until its rounds are over.
    pub fn join<C>(&mut self, client: impl FnOnce(Rounds) -> C)
    where
        C: Future<Output = (Vec<Session>, Vec<V>)> + Send + 'static,
    {
        let rounds = Arc::<AtomicU64>::default();
        let task = client(Rounds { done: Arc::clone(&rounds), stop: Arc::clone(&self.stop) });
        self.clients.push(Client { task: tokio::spawn(task), rounds });
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
    pub async fn stop(self) -> (Vec<Session>, Vec<V>) {
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
