//! The demo: five instances of a small stateful application ([`app`]) in this process, and a gateway in front of them.

mod app;
mod roster_operator;

use crate::cli::output::{Error, print_line};
use app::Reserved;
use homing::health::{HealthSettings, Outlier, Silence, SlowStart};
use homing::proxy::{ProbeProfile, Proxy, Timeouts};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
use homing_gateway::admin::{Admin, AdminServer};
use homing_gateway::config::HealthConfig;
use homing_gateway::listen::server::Server;
use homing_gateway::roster::{Roster, RosterTicker};
use roster_operator::RosterOperator;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long requests may finish when the demo is stopped.
const GRACE: Duration = Duration::from_secs(1);

/// Runs the demo until SIGTERM or SIGINT.
pub fn run() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let reserved = Reserved::new(5)?;
    let instances = reserved.instances();
    let balancer = Balancer::builder()
        .upstreams(instances.iter().map(|(name, address)| UpstreamConfig::new(name, address.to_string())))
        .affinity(Affinity::builder(KeyRing::generate("demo")?).build()?)
        .health(quick_health())
        .build()?;
    let timeouts = Timeouts::default().response(Duration::from_secs(5));
    let proxy = Proxy::builder(balancer).timeouts(timeouts).build();
    let roster = Arc::new(Roster::new(Arc::clone(proxy.balancer())));
    let _ticker = RosterTicker::start(Arc::clone(&roster))?;
    runtime.block_on(reserved.start(RosterOperator(Arc::clone(&roster))))?;
    let stopped = runtime.block_on(async { stop_signal() })?;
    let server = Server::bind(&[loopback(free_port(8080))], 0, None)?;
    let address = server.addresses()[0];
    let running = server.start(&proxy)?;
    let admin = AdminServer::bind(loopback(free_port(9090)))?;
    let admin_address = admin.address();
    let _admin = admin.start(Admin::builder(&proxy).roster(roster).build())?;
    for (name, address) in instances {
        print_line(&format!("{name} on http://{address}/"))?;
    }
    print_line(&format!("monitor on http://{admin_address}/"))?;
    print_line(&format!("open http://{address}/"))?;
    print_line("Two browsers keep an instance each. Kill one on the page: its sessions move once, the others never.")?;
    let probes = HealthConfig {
        path: Some("/healthz".to_owned()),
        profile: ProbeProfile::Wisej,
        interval: Duration::from_secs(1),
        ..HealthConfig::default()
    };
    runtime.block_on(proxy.run_health_checks(probes.probes(), stopped));
    tracing::info!(grace = ?GRACE, "stopping: what runs may finish");
    running.stop(GRACE);
    Ok(())
}

/// Shorter times than a deployment wants, so that the effect of a button shows within seconds.
fn quick_health() -> HealthSettings {
    let secs = Duration::from_secs;
    HealthSettings::default()
        .silence(Silence::default().after(secs(2)))
        .outlier(Outlier::default().base(secs(2)))
        .slow_start(SlowStart::default().window(secs(5)))
        .drain_spread(secs(3))
}

/// `first`, or the next port on which no other program listens, not even another gateway, which would share it by
/// `SO_REUSEPORT`; 0 where a hundred are taken.
fn free_port(first: u16) -> u16 {
    let mut ports = first..first.saturating_add(100);
    ports.find(|port| std::net::TcpListener::bind(loopback(*port)).is_ok()).unwrap_or(0)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Completes on SIGTERM or SIGINT, which are received from here on.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Completes on Ctrl-C, which is received from here on.
#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
