//! A proxy with its administration in this process, and a client of the administration.

use crate::support::client::{Response, exchange, guarded};
use crate::support::upstream::Upstream;
use homing::proxy::{Protocol, Proxy};
use homing::time::{Clock, SystemClock};
use homing::{Affinity, Balancer, HealthSettings, KeyRing, UpstreamConfig};
use homing_gateway::admin::{Admin, AdminBuilder};
use homing_gateway::roster::{Roster, RosterStore};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

pub struct Host {
    /// Of the proxy.
    pub address: SocketAddr,
    /// Of its administration.
    pub admin: SocketAddr,
    pub proxy: Proxy,
    pub roster: Arc<Roster>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub fn ring(signer: u8) -> KeyRing {
    let ring = KeyRing::builder("app", [7; 32]);
    let ring = (0..=signer).fold(ring, |ring, id| match id == signer {
        true => ring.sign_with(id, [id; 32]),
        false => ring.verify_with(id, [id; 32]),
    });
    ring.build().unwrap()
}

impl Host {
    /// Before these upstreams, placed in turn.
    pub fn start(upstreams: &[Upstream]) -> Self {
        Self::with(upstreams, "round_robin", |admin| admin)
    }

    /// Likewise, with a task that keeps the history of live sessions.
    pub fn keeping_history(upstreams: &[Upstream]) -> Self {
        Self::keeping_history_by(upstreams, SystemClock)
    }

    /// Likewise, with this clock.
    pub fn keeping_history_by(upstreams: &[Upstream], clock: impl Clock + 'static) -> Self {
        Self::launch(upstreams, "round_robin", |proxy| Admin::builder(proxy), clock, true)
    }

    pub fn with(upstreams: &[Upstream], policy: &str, more: impl FnOnce(AdminBuilder) -> AdminBuilder) -> Self {
        Self::launch(upstreams, policy, |proxy| more(Admin::builder(proxy)), SystemClock, false)
    }

    /// With a store for changes.
    pub fn storing(upstreams: &[Upstream], store: impl RosterStore + 'static) -> Self {
        let roster = |proxy: &Proxy| Arc::new(Roster::new(Arc::clone(proxy.balancer())).store(store));
        let admin = |proxy: &Proxy| Admin::builder(proxy).roster(roster(proxy));
        Self::launch(upstreams, "round_robin", admin, SystemClock, false)
    }

    fn launch(
        upstreams: &[Upstream],
        policy: &str,
        admin: impl FnOnce(&Proxy) -> AdminBuilder,
        clock: impl Clock + 'static,
        keeps_history: bool,
    ) -> Self {
        let mut health = HealthSettings::default();
        health.slow_start.window = Duration::ZERO;
        health.drain_spread = Duration::ZERO;
        let configs =
            upstreams.iter().map(|upstream| UpstreamConfig::new(&*upstream.name, upstream.address.to_string()));
        let balancer = Balancer::builder()
            .upstreams(configs)
            .policy(policy)
            .affinity(Affinity::builder(ring(0)).build().unwrap())
            .health(health)
            .build()
            .unwrap();
        let proxy = Proxy::builder(balancer).clock(clock).build();
        let admin = admin(&proxy).build();
        let roster = Arc::clone(admin.roster());
        let (stop, stopped) = oneshot::channel();
        let (front, back) = (listener(), listener());
        let (address, admin_address) = (front.local_addr().unwrap(), back.local_addr().unwrap());
        let thread = thread::spawn({
            let (proxy, roster) = (proxy.clone(), Arc::clone(&roster));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.spawn(serve(front, proxy.clone()));
                runtime.spawn(administer(back, admin.clone()));
                runtime.spawn(keep(roster));
                if keeps_history {
                    runtime.spawn(async move { admin.keep_history().await });
                }
                runtime.block_on(proxy.run_health_checks(None, async { drop(stopped.await) }));
            }
        });
        Self { address, admin: admin_address, proxy, roster, stop: Some(stop), thread: Some(thread) }
    }

    /// A request that a program on this machine sends.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> Response {
        exchange(self.admin, request(method, target, "Host: localhost\r\nContent-Type: application/json\r\n", body))
    }

    pub fn get(&self, target: &str) -> Response {
        self.ask("GET", target, "")
    }

    /// The list's entry of one upstream.
    pub fn listed(&self, name: &str) -> Value {
        let list = json(&self.get("/api/v1/upstreams"), 200);
        let found = list["upstreams"].as_array().unwrap().iter().find(|upstream| upstream["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name} is not in {list}"))
    }

    pub fn generation(&self) -> u64 {
        self.proxy.balancer().generation().as_u64()
    }

    pub fn names(&self) -> Vec<String> {
        let cluster = self.proxy.balancer().cluster();
        cluster.members().iter().map(|member| member.upstream().name().to_owned()).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || thread::panicking(), "the host had panicked");
    }
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

async fn serve(listener: TcpListener, proxy: Proxy) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let proxy = proxy.clone();
        tokio::spawn(async move { proxy.serve(stream, peer, Protocol::Clear, std::future::pending()).await });
    }
}

async fn administer(listener: TcpListener, admin: Admin) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let admin = admin.clone();
        tokio::spawn(async move { admin.serve(stream, peer, std::future::pending()).await });
    }
}

/// Lets a roster's time pass.
async fn keep(roster: Arc<Roster>) {
    loop {
        roster.tick(SystemClock.now()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// The JSON of an answer of that status.
pub fn json(response: &Response, status: u16) -> Value {
    assert_eq!(response.status(), status, "{response:?}\n{}", response.text());
    let expected = if status < 400 { "application/json" } else { "application/problem+json" };
    assert_eq!(response.head.one("content-type").as_deref(), Some(expected));
    let value: Value = serde_json::from_str(&response.text()).unwrap();
    if status >= 400 {
        assert_eq!(value["status"], status, "{value}");
        assert!(!value["detail"].as_str().unwrap().is_empty() && !value["title"].as_str().unwrap().is_empty());
    }
    value
}

/// The code of an error response.
pub fn code(response: &Response, status: u16) -> String {
    json(response, status)["code"].as_str().unwrap().to_owned()
}

/// A stream of events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    pub fn open(admin: SocketAddr, fields: &str) -> Self {
        let mut stream = guarded(TcpStream::connect(admin).unwrap());
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").unwrap();
        let mut events = Self(BufReader::new(stream));
        let head: Vec<String> = std::iter::repeat_with(|| events.line()).take_while(|line| !line.is_empty()).collect();
        assert_eq!(head[0], "HTTP/1.1 200 OK", "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        events
    }

    /// The next event: its id and its data.
    pub fn next(&mut self) -> (String, Value) {
        let mut id = String::new();
        loop {
            let line = self.line();
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (id, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The first event for which the condition is true.
    pub fn until(&mut self, holds: impl Fn(&Value) -> bool) -> (String, Value) {
        loop {
            let (id, event) = self.next();
            if holds(&event) {
                return (id, event);
            }
        }
    }

    /// A line, chunk sizes among them.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream goes on");
        line.trim_end().to_owned()
    }
}
