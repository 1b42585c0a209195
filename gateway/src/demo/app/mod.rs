//! Several instances of a small stateful web application, in one process.
//!
//! To a gateway each instance is what a real one would be: a port and a thread of its own, sessions in its own memory,
//! sockets that break when it dies, and heartbeats that end with it. The instances share only the table of which of
//! them live ([`fleet`]). Of the gateway in front of them the application knows an [`Operator`] and no more.
//!
//! In reading order: [`operator`], [`sessions`], [`usage`] and [`port`]; [`instance`] (the state of one); [`fleet`]
//! (all of them: start, kill, revive) with [`roll`] (restarts one after another); [`messages`], [`actions`] (the
//! buttons), [`routes`], [`chat`] (the WebSocket) and [`server`] (an instance's connections).

mod actions;
mod chat;
mod fleet;
mod instance;
mod messages;
mod operator;
mod port;
mod roll;
mod routes;
mod server;
mod sessions;
mod usage;

use fleet::{Fleet, Slot};
use std::io;
use std::net::SocketAddr;

pub use operator::{InstanceFigures, InstanceStatus, Operator};

/// The addresses of instances that do not run yet.
pub struct Reserved(Vec<Slot>);

impl Reserved {
    /// Reserves `count` instances, `app-1` to `app-N`, each with a free loopback port that stays its own.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn new(count: usize) -> io::Result<Reserved> {
        Ok(Reserved((1..=count).map(|number| Slot::reserve(format!("app-{number}"))).collect::<io::Result<_>>()?))
    }

    /// Names and addresses of all instances, which never change.
    pub fn instances(&self) -> Vec<(String, SocketAddr)> {
        self.0.iter().map(|slot| (slot.name().to_owned(), slot.address())).collect()
    }

    /// Starts them all.
    ///
    /// # Errors
    /// Where a port cannot be listened on.
    pub async fn start(self, operator: impl Operator + 'static) -> io::Result<()> {
        let run =
            |listener, instance, fleet| -> fleet::InstanceRun { Box::pin(server::run(listener, instance, fleet)) };
        Fleet::new(self.0, Box::new(operator), run).launch_all().await
    }
}
