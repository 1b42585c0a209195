//! The program `homing`: without arguments it shows itself with five demo instances;
//! with `--config FILE` it serves real ones.

mod cli;
mod demo;

use clap::{Parser, Subcommand};
use cli::status;
use demo::Desk;
use homing::health::{HealthSettings, Outlier, Silence, SlowStart};
use homing::proxy::{ProbeProfile, Proxy, Timeouts};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
use homing_gateway::admin::Admin;
use homing_gateway::admin::AdminServer;
use homing_gateway::config::{GatewayConfig, HealthConfig};
use homing_gateway::listen::server::{RunningServer, Server};
use homing_gateway::roster::Roster;
use homing_gateway::{Gateway, Inherited, RosterTicker};
use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Many small allocations of short life are what a proxy does; this does them at half the cost of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Session-affinity load balancer. Without arguments it shows itself with five demo instances.
#[derive(Parser)]
#[command(name = "homing", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Checks the configuration and ends.
    #[arg(long, requires = "config")]
    check: bool,
    /// What is logged to stderr, such as `warn` or `info,homing::access=off`.
    #[arg(long, env = "HOMING_LOG", value_name = "FILTER", default_value = "info")]
    log: Targets,
}

#[derive(Subcommand)]
enum Command {
    /// Prints how the upstreams of a running gateway are doing, as its [admin] address tells it.
    Status(status::Arguments),
}

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // First of all, for it changes the environment.
    let inherited = Inherited::from_env();
    let arguments = Arguments::parse();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(arguments.log)).init();
    let result = match (arguments.command, arguments.config) {
        (Some(Command::Status(arguments)), _) => status::print(&arguments),
        (None, Some(path)) if arguments.check => check(&path),
        (None, Some(path)) => inherited.map_err(Into::into).and_then(|inherited| serve(&path, inherited)),
        (None, None) => show(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("homing: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path) -> Result<(), Error> {
    homing_gateway::check(&GatewayConfig::load(path)?)?;
    say(&format!("{}: valid", path.display()))
}

fn serve(path: &Path, inherited: Inherited) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::start(path, inherited).await?;
        if let Some(address) = gateway.admin_address() {
            say(&format!("administration on http://{address}"))?;
        }
        let scheme = if gateway.has_tls() { "https" } else { "http" };
        for address in gateway.addresses() {
            say(&format!("listening on {scheme}://{address}"))?;
        }
        gateway.run().await;
        Ok(())
    })
}

/// Five instances of a small stateful application, and a gateway in front of them.
fn show() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let reserved = demo::Reserved::new(5)?;
    let instances = reserved.instances();
    let balancer = Balancer::builder()
        .upstreams(instances.iter().map(|(name, address)| UpstreamConfig::new(name, address.to_string())))
        .affinity(Affinity::builder(KeyRing::generate("demo")?).build()?)
        .health(impatient())
        .build()?;
    let timeouts = Timeouts { response: Duration::from_secs(5), ..Timeouts::default() };
    let proxy = Proxy::builder(balancer).timeouts(timeouts).build();
    let roster = Arc::new(Roster::new(Arc::clone(proxy.balancer())));
    let _keeper = RosterTicker::start(Arc::clone(&roster))?;
    runtime.block_on(reserved.start(Desk(Arc::clone(&roster))))?;
    let told_to_stop = runtime.block_on(async { told_to_stop() })?;
    let server = Server::bind(&[local(free_from(8080))], 0, None)?;
    let address = server.addresses()[0];
    let running = server.start(&proxy)?;
    let monitor = AdminServer::bind(local(free_from(9090)))?;
    let monitored = monitor.address();
    let _monitor = monitor.start(Admin::builder(&proxy).roster(roster).build())?;
    for (name, address) in instances {
        say(&format!("{name} on http://{address}/"))?;
    }
    say(&format!("monitor on http://{monitored}/"))?;
    say(&format!("open http://{address}/"))?;
    say("Two browsers stay with an instance each. Kill one on the page: its visitors move once, the others never.")?;
    let probes = HealthConfig {
        path: Some("/healthz".to_owned()),
        profile: ProbeProfile::Wisej,
        interval: Duration::from_secs(1),
        ..HealthConfig::default()
    };
    runtime.block_on(proxy.run_health_checks(probes.probes(), told_to_stop));
    stop(running, Duration::from_secs(1));
    Ok(())
}

/// Nobody who tries the buttons wants to wait as long as is wise elsewhere.
fn impatient() -> HealthSettings {
    let secs = Duration::from_secs;
    HealthSettings {
        silence: Silence { after: secs(2), ..Silence::default() },
        outlier: Outlier { base: secs(2), ..Outlier::default() },
        slow_start: SlowStart { window: secs(5), ..SlowStart::default() },
        drain_spread: secs(3),
        ..HealthSettings::default()
    }
}

/// The port or the next one that nobody listens on, also no other gateway, which would share it; 0 where all are taken.
fn free_from(port: u16) -> u16 {
    let mut ports = port..port.saturating_add(100);
    ports.find(|port| std::net::TcpListener::bind(local(*port)).is_ok()).unwrap_or(0)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Prints a line at once, also into a pipe.
fn say(line: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn stop(running: RunningServer, grace: Duration) {
    tracing::info!(grace = ?grace, "stopping: what runs may finish");
    running.stop(grace);
}

/// Listens for SIGTERM and SIGINT from here on.
#[cfg(unix)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Listens for Ctrl-C from here on.
#[cfg(windows)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
