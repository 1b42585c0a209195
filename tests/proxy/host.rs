//! A proxy in this process.

use crate::support::GUARD;
use crate::support::upstream::Upstream;
use homing::balancer::BalancerBuilder;
use homing::health::State;
use homing::proxy::{ProbeSettings, Protocol, Proxy, ProxyBuilder};
use homing::{Affinity, Balancer, HealthSettings, KeyRing, UpstreamConfig};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Whether health checks run, and how.
pub enum Keep {
    No,
    WithoutProbes,
    Probing(ProbeSettings),
}

pub struct Host {
    pub address: SocketAddr,
    pub proxy: Proxy,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub fn start(proxy: ProxyBuilder, keep: Keep) -> Self {
        let proxy = proxy.build();
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn({
            let proxy = proxy.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.spawn(serve(listener, proxy.clone()));
                runtime.block_on(async {
                    let stopped = async { drop(stopped.await) };
                    match keep {
                        Keep::No => stopped.await,
                        Keep::WithoutProbes => proxy.run_health_checks(None, stopped).await,
                        Keep::Probing(settings) => proxy.run_health_checks(Some(settings), stopped).await,
                    }
                });
            }
        });
        Self { address, proxy, stop: Some(stop), thread: Some(thread) }
    }

    pub fn state(&self, upstream: &Upstream) -> State {
        let status = self.proxy.balancer().status();
        status.into_iter().find(|status| status.name == upstream.name).expect("an upstream").state
    }

    /// Waits until an upstream is in that state.
    pub fn await_state(&self, upstream: &Upstream, state: State) {
        eventually(&format!("{} is {state}", upstream.name), || self.state(upstream) == state);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn serve(listener: std::net::TcpListener, proxy: Proxy) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let proxy = proxy.clone();
        tokio::spawn(async move { proxy.serve(stream, peer, Protocol::Clear, std::future::pending()).await });
    }
}

/// Waits until `holds` returns true.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < GUARD, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A balancer with affinity and round robin, a short ejection time and no slow start.
pub fn balancer(upstreams: &[&Upstream], max_in_flight: u32) -> BalancerBuilder {
    let configs = upstreams.iter().map(|upstream| {
        UpstreamConfig::new(&*upstream.name, upstream.address.to_string()).max_in_flight(max_in_flight)
    });
    let mut health = HealthSettings::default();
    health.outlier.base = Duration::from_millis(500);
    health.slow_start.window = Duration::ZERO;
    Balancer::builder()
        .upstreams(configs)
        .policy("round_robin")
        .affinity(Affinity::builder(KeyRing::generate("app").unwrap()).build().unwrap())
        .health(health)
}

/// A proxy in front of these upstreams.
pub fn proxy(upstreams: &[&Upstream]) -> ProxyBuilder {
    Proxy::builder(balancer(upstreams, 0).build().unwrap())
}
