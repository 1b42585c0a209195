//! A gateway that knows instances by agents alone, and what every agent has to achieve.

use crate::support::client::exchange;
use crate::support::gateway::{Gateway, run};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use serde_json::Value;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use tempfile::TempDir;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub struct Fleet {
    folder: TempDir,
    configured: Vec<Upstream>,
    admin: SocketAddr,
    settings: String,
    gateway: Option<Gateway>,
}

impl Fleet {
    /// With one upstream, app-1, that is configured.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A port that is free for now.
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let token = folder.path().join("admin.token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        let settings = format!(
            "[policy]\nname = \"round_robin\"\n[affinity]\nlive_window = \"1s\"\n[slow_start]\nwindow = \"0s\"\n[drain]\nspread = \"0s\"\n\
             [admin]\nlisten = \"{admin}\"\ntoken_file = {token:?}\n"
        );
        let mut fleet = Self { folder, configured: Upstream::several(1), admin, settings, gateway: None };
        fleet.restart();
        fleet
    }

    /// Kills the gateway, and starts it anew. It has kept nothing.
    pub fn restart(&mut self) {
        self.gateway = None;
        self.gateway = Some(Gateway::start(&self.settings, &self.configured.iter().collect::<Vec<_>>()));
    }

    pub fn admin(&self) -> String {
        format!("http://{}", self.admin)
    }

    pub fn token(&self) -> PathBuf {
        self.folder.path().join("admin.token")
    }

    /// The gateway's entry of the instance under test.
    pub fn listed(&self) -> Option<Value> {
        let fields = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
        let response = exchange(self.admin, format!("GET /api/v1/upstreams HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(response.status(), 200, "{}", response.text());
        let list: Value = serde_json::from_str(&response.text()).unwrap();
        list["upstreams"].as_array().unwrap().iter().find(|upstream| upstream["name"] == "app-9").cloned()
    }

    pub fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut seen = None;
        until(what, || {
            seen = self.listed().filter(|upstream| holds(upstream));
            seen.is_some()
        });
        seen.unwrap()
    }

    pub fn until_gone(&self) {
        until("it is gone", || self.listed().is_none());
    }

    /// Waits until the instance is registered, accepts sessions, and has reported.
    pub fn accepts_it(&self, address: &str) {
        let told = self.until("it is there", |told| told["state"] == "active" && told["address"] == address);
        assert_eq!(told["origin"], "registered");
        let before = told["report"]["sessions"].as_u64().unwrap();
        let gateway = self.gateway.as_ref().unwrap().address();
        let mut visitors = Visitor::several(gateway, 8);
        let homes: Vec<String> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
        let mine = homes.iter().filter(|home| *home == "app-9").count() as u64;
        assert_eq!(mine, 4, "in turn: {homes:?}");
        let told = self.until("it says how it is", |told| {
            told["report"]["sessions"].as_u64() >= Some(before + mine) && told["report"]["cpu"].is_number()
        });
        let report = &told["report"];
        assert!(report["memory_bytes"].as_u64() > Some(1 << 20), "{report}");
        assert!(report["threads"].as_u64() >= Some(1), "{report}");
        let token = self.token();
        let output = run(
            self.folder.path(),
            &["status", "--admin", &self.admin.to_string(), "--token-file", token.to_str().unwrap()],
        );
        let table = String::from_utf8(output.stdout).unwrap();
        let head = table.lines().next().unwrap();
        assert!(head.contains("OWN SESSIONS  MEMORY MIB  THREADS") && table.contains("app-9"), "{table}");
    }

    /// Whether the token is visible in the command line of this process.
    pub fn shows_token(&self, process: u32) -> bool {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap();
        String::from_utf8_lossy(&line).contains(TOKEN)
    }
}
