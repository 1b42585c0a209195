//! The processes of the fault tests: `instance` is what they put behind a gateway, and `kills` runs one of them in
//! front of any proxy, for `benches/gateway/faults.sh`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a part of the tests, which fail by a panic and share these files"
)]

mod answer;
mod clients;
mod fleet;
mod instance;
mod judge;
mod kills;
mod load;
mod mode;
mod record;
mod scouts;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use serde_json::json;

use fleet::{Fleet, Front};
use kills::Kills;
use load::Pace;
use mode::Mode;

#[derive(Parser)]
enum Role {
    /// Serves as an instance until its standard input ends.
    Instance {
        name: String,
        address: SocketAddr,
        journal: PathBuf,
        mode: Mode,
        /// Where it registers itself: an etcd.
        #[arg(long)]
        register: Option<String>,
    },
    /// Kills instances behind a proxy and prints what became of their sessions.
    Kills {
        #[arg(long)]
        sessions: u32,
        #[arg(long)]
        connections: usize,
        /// Visits a second.
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        times: usize,
        /// Where the proxy listens.
        #[arg(long)]
        front: SocketAddr,
        /// Where the proxy looks for an instance.
        #[arg(long = "instance")]
        instances: Vec<SocketAddr>,
        /// The proxy's command.
        #[arg(last = true)]
        command: Vec<String>,
    },
}

fn main() -> std::io::Result<()> {
    match Role::parse() {
        Role::Instance { name, address, journal, mode, register } => {
            instance::run(&name, address, &journal, mode, register)
        }
        Role::Kills { sessions, connections, rate, times, front, instances, command } => {
            let mut fleet = Fleet::at(&instances, kills::AT_WORK);
            let front = Front::run(&command, front);
            let kills = Kills { sessions, pace: Pace { connections, rate }, times };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let report = runtime.block_on(kills.run(&mut fleet, front.address));
            println!(
                "{}",
                json!({
                    "visits": report.visits,
                    "failed_gets": report.failed_gets,
                    "failed_posts": report.failed_posts,
                    "wrong": report.wrong,
                    "repeated_posts": report.repeated_posts,
                    "bereft": report.bereft,
                    "moved_once": report.moved_once,
                    "moved_again": report.moved_again,
                    "strayed": report.strayed,
                    "longest_ms": report.longest,
                    "examples": report.examples,
                })
            );
            Ok(())
        }
    }
}
