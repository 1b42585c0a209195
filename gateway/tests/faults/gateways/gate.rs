//! A gateway of the fleet, and what its administration says.

use crate::support::client::exchange;
use crate::support::gateway::Gateway;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

/// Live sessions are counted in windows of so many seconds.
pub const WINDOW: u64 = 2;

/// The configuration of each gateway, without its administration. `live` is the interval of its live-session reports.
pub fn settings(etcd: &str, live: &str) -> String {
    format!(
        "[affinity]\nlive_window = \"{WINDOW}s\"\n[policy]\nname = \"least_sessions\"\nd = \"all\"\n\
         [health]\nprofile = \"wisej\"\npath = \"/healthz\"\ninterval = \"500ms\"\n[slow_start]\nwindow = \"1s\"\n\
         [discovery.etcd]\nendpoints = [\"{etcd}\"]\nprefix = \"/homing\"\nlive = \"{live}\"\n"
    )
}

/// A process; it is killed with this value.
pub struct Gate {
    gateway: Gateway,
    admin: SocketAddr,
}

impl Gate {
    pub fn start(settings: &str) -> Self {
        // A port that is free for now.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let admin = free.expect("a free port");
        let gateway = Gateway::with(&format!(
            "listen = [\"127.0.0.1:0\"]\nworkers = 1\n[admin]\nlisten = \"{admin}\"\n{settings}"
        ));
        Self { gateway, admin }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    pub fn log(&self) -> String {
        self.gateway.log()
    }

    fn ask(&self, method: &str, target: &str) -> Result<Value, String> {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", self.admin);
        let response = exchange(self.admin, format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n"));
        let text = response.text();
        match response.status() {
            200..=299 => Ok(serde_json::from_str(&text).unwrap_or_default()),
            status => Err(format!("{status}: {text}")),
        }
    }

    /// Says something to it as its operator.
    pub fn post(&self, target: &str) -> Result<Value, String> {
        self.ask("POST", target)
    }

    fn upstreams(&self) -> BTreeMap<String, Value> {
        let all = self.ask("GET", "/api/v1/upstreams").expect("the upstreams");
        let upstreams = all["upstreams"].as_array().expect("a list").iter();
        upstreams.map(|upstream| (upstream["name"].as_str().expect("a name").to_owned(), upstream.clone())).collect()
    }

    /// What Prometheus gets.
    pub fn metrics(&self) -> String {
        exchange(self.admin, format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin))
            .text()
    }

    /// Live sessions, by instance.
    pub fn live(&self) -> BTreeMap<String, usize> {
        let live = |upstream: &Value| upstream["live_sessions"].as_u64().expect("a count") as usize;
        self.upstreams().iter().map(|(name, upstream)| (name.clone(), live(upstream))).collect()
    }

    pub fn state(&self, upstream: &str) -> String {
        self.upstreams()[upstream]["state"].as_str().expect("a state").to_owned()
    }

    pub fn accepts(&self, upstream: &str) -> bool {
        self.upstreams().get(upstream).is_some_and(|upstream| upstream["accepting"] == true)
    }
}
