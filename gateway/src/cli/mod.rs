//! The command line: parses the arguments, sets up logging, and runs the command.
//!
//! A file of examples and notes for each command is its `after_help`: sections that begin with a line such as
//! `Examples:`, which `manual` turns into sections of the manual pages.
//!
//! In reading order: `run` (a gateway by its configuration file), `check` (of such a file), `status` (of a running
//! gateway), `completions` and `manual` (for shells and packages), `output` (what they print with). The demo is in
//! [`demo`](crate::demo).

mod check;
mod completions;
mod manual;
pub mod output;
mod run;
mod status;

use crate::demo;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use homing_gateway::Inherited;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const AFTER_HELP: &str = "\
Examples:
  homing                                        the demo, at http://127.0.0.1:8080/ or the next free port
  homing check --config homing.toml             before a gateway is started or reloaded
  homing run --config homing.toml               a gateway
  homing status                                 its upstreams, if the configuration has [admin]
  homing run --config homing.toml --log warn    without a line for each request";

/// Session-affinity load balancer: a signed cookie brings each user back to the instance that has their session.
///
/// Without a command it runs a demo: a gateway in front of five instances with sessions in memory.
#[derive(Parser)]
#[command(name = "homing", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What is logged to stderr: a level (error, warn, info, debug, trace), or levels by target.
    ///
    /// `info,homing::access=off` logs no line for each request, `warn,homing::audit=info` only changes and problems.
    #[arg(long, env = "HOMING_LOG", value_name = "FILTER", default_value = "info", global = true)]
    log: Targets,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Status(status::Arguments),
    Completions(completions::Arguments),
    #[command(name = "man", hide = true)]
    Manual(manual::Arguments),
}

pub fn main() -> ExitCode {
    // First, since it changes the environment.
    let inherited = Inherited::from_env();
    let arguments = Arguments::try_parse().unwrap_or_else(|error| with_tip(error).exit());
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(arguments.log)).init();
    let result = match arguments.command {
        None => demo::run(),
        Some(Command::Run(arguments)) => {
            inherited.map_err(Into::into).and_then(|inherited| run::run(&arguments, inherited))
        }
        Some(Command::Check(arguments)) => return check::check(&arguments),
        Some(Command::Status(arguments)) => status::print(&arguments),
        Some(Command::Completions(arguments)) => completions::print(&arguments),
        Some(Command::Manual(arguments)) => manual::write(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("homing: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what to do where `run` or `check` has no `--config`, or `--config` no command.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let names = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => std::slice::from_ref(name),
        Some(ContextValue::Strings(names)) => names,
        _ => return error,
    };
    if !names.iter().any(|name| name.starts_with("--config")) {
        return error;
    }
    let tip = match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            "no file is looked for by itself: gateway/homing.toml is one to begin with, docs/CONFIGURATION.md has all \
             keys"
        }
        ErrorKind::UnknownArgument => {
            "'homing run --config FILE' runs a gateway, 'homing check --config FILE' checks its configuration"
        }
        _ => return error,
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}
