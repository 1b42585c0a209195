//! The command line: parses the arguments, sets up logging, and runs what was asked for.
//!
//! In reading order: `run` (a gateway by its configuration file), `status` (asks a running one); the demo is in
//! [`demo`](crate::demo).

pub mod output;
mod run;
mod status;

use crate::demo;
use clap::{Parser, Subcommand};
use homing_gateway::Inherited;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Session-affinity load balancer. Without arguments it runs a demo: five instances of an application behind a gateway.
#[derive(Parser)]
#[command(name = "homing", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run a gateway by this configuration, TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration, and exit.
    #[arg(long, requires = "config")]
    check: bool,
    /// What is logged to stderr, such as `warn` or `info,homing::access=off`.
    #[arg(long, env = "HOMING_LOG", value_name = "FILTER", default_value = "info")]
    log: Targets,
}

#[derive(Subcommand)]
enum Command {
    /// Print the state of the upstreams of a running gateway, from its [admin] address.
    Status(status::Arguments),
}

pub fn main() -> ExitCode {
    // First, since it changes the environment.
    let inherited = Inherited::from_env();
    let arguments = Arguments::parse();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(arguments.log)).init();
    let result = match (arguments.command, arguments.config) {
        (Some(Command::Status(arguments)), _) => status::print(&arguments),
        (None, Some(path)) if arguments.check => run::check(&path),
        (None, Some(path)) => inherited.map_err(Into::into).and_then(|inherited| run::run(&path, inherited)),
        (None, None) => demo::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("homing: {error}");
            ExitCode::FAILURE
        }
    }
}
