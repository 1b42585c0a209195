//! Many sessions over a few connections, at a pace, until told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::clients::{Clients, Rounds};
use crate::session::{Link, Session, Visit};

/// Visits in a row of which one succeeds at the least, a POST among them failing.
pub const OFTEN: u64 = 3;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Connections, each with its share of the sessions.
    pub connections: usize,
    /// Visits a second, of all connections together; fewer where answers take longer.
    pub rate: u32,
}

pub type Load = Clients<Visit>;

impl Load {
    pub fn start(front: SocketAddr, sessions: Vec<Session>, pace: Pace) -> Self {
        let mut shares: Vec<Vec<Session>> = (0..pace.connections.min(sessions.len())).map(|_| Vec::new()).collect();
        let connections = shares.len();
        for (index, session) in sessions.into_iter().enumerate() {
            shares[index % connections].push(session);
        }
        let period = Duration::from_secs(1) * connections as u32 / pace.rate;
        let mut load = Self::none();
        for sessions in shares {
            load.join(|rounds| client(front, sessions, period, rounds));
        }
        load
    }
}

async fn client(
    front: SocketAddr,
    mut sessions: Vec<Session>,
    period: Duration,
    rounds: Rounds,
) -> (Vec<Session>, Vec<Visit>) {
    let mut link = Link::new(front);
    let mut visits = Vec::new();
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for session in &mut sessions {
            pace.tick().await;
            if rounds.are_over() {
                return (sessions, visits);
            }
            visits.push(session.visit(&mut link).await);
        }
        rounds.one_more();
    }
}
