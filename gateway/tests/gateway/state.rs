//! The state file: overrides survive the gateway, however it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json as value};
use tempfile::TempDir;

use crate::support::client::exchange;
use crate::support::gateway::{Gateway, config, run};
use crate::support::until;
use crate::support::upstream::Upstream;

/// A gateway that is started again and again.
struct Stage {
    folder: TempDir,
    upstreams: Vec<Upstream>,
    admin: SocketAddr,
    settings: String,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A port that is free for now.
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let state = folder.path().join("homing.state");
        let settings = format!("state = {state:?}\n[drain]\nspread = \"0s\"\n[admin]\nlisten = \"{admin}\"\n");
        Self { folder, upstreams: Upstream::several(3), admin, settings }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("homing.state")
    }

    /// Dropping it is `kill -9`.
    fn start(&self) -> Gateway {
        Gateway::start(&self.settings, &self.upstreams.iter().collect::<Vec<_>>())
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> Value {
        let response = exchange(self.admin, request(method, target, body));
        assert!(response.status() < 300, "{method} {target}: {}", response.text());
        serde_json::from_str(&response.text()).unwrap()
    }

    /// All upstreams, reduced to what is persistent.
    fn lasting(&self) -> Vec<Value> {
        let list = self.ask("GET", "/api/v1/upstreams", "");
        let facts = |it: &Value| {
            let keys = ["name", "address", "weight", "max_in_flight", "origin", "drain"];
            Value::from_iter(
                keys.map(|key| (key, it[key].clone()))
                    .into_iter()
                    .chain([("ttl", it["registration"]["ttl_seconds"].clone())]),
            )
        };
        list["upstreams"].as_array().unwrap().iter().map(facts).collect()
    }
}

fn request(method: &str, target: &str, body: &str) -> String {
    let fields = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
    format!("{method} {target} HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The state after a restart, if it is readable.
fn answer(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Everything that can be changed.
fn change(stage: &Stage) {
    let address = stage.upstreams[1].address.to_string();
    stage.ask("PUT", "/api/v1/upstreams/app-2", &value!({ "address": address, "weight": 7 }).to_string());
    stage.ask("PUT", "/api/v1/upstreams/app-4", r#"{"address":"127.0.0.1:9","max_in_flight":5}"#);
    stage.ask("PUT", "/api/v1/upstreams/app-5", r#"{"address":"127.0.0.1:9","ttl":"1h"}"#);
    stage.ask("DELETE", "/api/v1/upstreams/app-3", "");
    stage.ask("POST", "/api/v1/upstreams/app-1/drain", r#"{"deadline":"1h"}"#);
    stage.ask("POST", "/api/v1/upstreams/app-4/drain", "");
}

#[test]
fn what_was_changed_outlives_kill_9() {
    let stage = Stage::new();
    let gateway = stage.start();
    assert_eq!(fs::metadata(stage.state()).unwrap().permissions().mode() & 0o7777, 0o600);
    change(&stage);
    let before = stage.lasting();
    drop(gateway);
    for _ in 0..2 {
        // The leftover of an interrupted write must not matter.
        fs::write(stage.folder.path().join(".homing.state.new"), "{\"version\": 1, \"ord").unwrap();
        let _gateway = stage.start();
        assert_eq!(stage.lasting(), before, "the moment of the drain's deadline as well");
        let list = stage.ask("GET", "/api/v1/upstreams", "");
        let state = |name: &str| {
            list["upstreams"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap()["state"].clone()
        };
        assert_eq!((state("app-1"), state("app-4")), ("draining".into(), "draining".into()));
    }
    assert_eq!(fs::metadata(stage.state()).unwrap().permissions().mode() & 0o7777, 0o600);
    let _gateway = stage.start();
    stage.ask("POST", "/api/v1/upstreams/app-1/resume", "");
    stage.ask("DELETE", "/api/v1/upstreams/app-4", "");
    stage.ask("POST", "/api/v1/upstreams/app-5/deregister", "");
    let names: Vec<Value> = stage.lasting().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["app-1", "app-2"]);
}

#[test]
fn an_override_outlives_a_start_without_its_upstream() {
    let mut stage = Stage::new();
    let list = stage.folder.path().join("upstreams.toml");
    stage.settings += &format!("[discovery]\nfile = {list:?}\n");
    let start = |count: usize| {
        fs::write(&list, stage.upstreams[..count].iter().map(|upstream| upstream.entry("")).collect::<String>())
            .unwrap();
        Gateway::start(&stage.settings, &[])
    };
    let gateway = start(3);
    stage.ask("POST", "/api/v1/upstreams/app-3/drain", "");
    let before = stage.lasting();
    assert!(!before[2]["drain"].is_null(), "{before:?}");
    drop(gateway);
    let gateway = start(2);
    assert_eq!(stage.lasting(), before[..2]);
    drop(gateway);
    let _gateway = start(3);
    assert_eq!(stage.lasting(), before);
}

/// The control: without the file nothing persists, and the log says so.
#[test]
fn without_a_state_file_all_is_as_configured_again() {
    let mut stage = Stage::new();
    stage.settings = stage
        .settings
        .lines()
        .filter(|line| !line.starts_with("state"))
        .fold(String::new(), |text, line| text + line + "\n");
    let gateway = stage.start();
    until("the log reports it", || gateway.log().contains("no state file is configured"));
    let before = stage.lasting();
    change(&stage);
    assert_ne!(stage.lasting(), before);
    drop(gateway);
    let _gateway = stage.start();
    assert_eq!(stage.lasting(), before);
    assert!(!stage.state().exists());
}

#[test]
fn what_was_acknowledged_is_there_whenever_it_is_killed() {
    let stage = Stage::new();
    let address = stage.upstreams[0].address.to_string();
    for round in 0..5 {
        let gateway = stage.start();
        let acknowledged = AtomicU64::new(0);
        thread::scope(|scope| {
            let changes = scope.spawn(|| {
                for weight in 1..60_000_u64 {
                    let body = value!({ "address": address, "weight": weight + 1 }).to_string();
                    let answer = answer(stage.admin, &request("PUT", "/api/v1/upstreams/app-1", &body));
                    if !answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                        break;
                    }
                    acknowledged.store(weight + 1, Ordering::Relaxed);
                }
            });
            until("changes are made", || acknowledged.load(Ordering::Relaxed) > 5 + 7 * round);
            drop(gateway);
            changes.join().unwrap();
        });
        let acknowledged = acknowledged.into_inner();
        let _gateway = stage.start();
        let weight = stage.ask("GET", "/api/v1/upstreams/app-1", "")["weight"].as_u64().unwrap();
        assert!((acknowledged..=acknowledged + 1).contains(&weight), "{weight} after {acknowledged}");
        stage.ask("PUT", "/api/v1/upstreams/app-1", &value!({ "address": address }).to_string());
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place_and_left_alone() {
    let stage = Stage::new();
    drop(stage.start());
    let upstreams: Vec<&Upstream> = stage.upstreams.iter().collect();
    let file = stage.folder.path().join("gateway.toml");
    fs::write(&file, config(&stage.settings, &upstreams)).unwrap();
    let refused = |text: &str, arguments: &[&str]| {
        fs::write(stage.state(), text).unwrap();
        let output = run(stage.folder.path(), arguments);
        assert!(!output.status.success(), "{text}");
        assert_eq!(fs::read_to_string(stage.state()).unwrap(), text, "it is left as it is");
        String::from_utf8(output.stderr).unwrap()
    };
    let serve: &[&str] = &["run", "--config", "gateway.toml"];
    for arguments in [serve, &["check", "--config", "gateway.toml"]] {
        let place = |line: u32| format!("state file {}:{line}:", stage.state().display());
        let said = refused("", arguments);
        assert!(said.contains(&place(1)) && said.contains("put a good copy in its place, or move it away"), "{said}");
        let said = refused("{\n  \"version\": 1,\n  \"orders\": {\n    \"app-1\": {", arguments);
        assert!(said.contains(&place(4)), "{said}");
        let said = refused("{\"version\": 2}", arguments);
        assert!(said.contains("of version 2, and this gateway reads version 1"), "{said}");
        let removed = |name: &str| format!("\"{name}\":{{\"removed\":true}}");
        let all = [removed("app-1"), removed("app-2"), removed("app-3")].join(",");
        let said = refused(&format!("{{\"version\":1,\"orders\":{{{all}}},\"registered\":{{}}}}"), arguments);
        assert!(said.contains("the cluster is empty") && said.contains("homing.state"), "{said}");
    }
    fs::remove_file(stage.state()).unwrap();
    let checked = run(stage.folder.path(), &["check", "--config", "gateway.toml"]);
    assert!(checked.status.success() && !stage.state().exists(), "a check makes nothing");
    let nowhere = config(&stage.settings.replace("homing.state", "no/homing.state"), &upstreams);
    fs::write(&file, nowhere).unwrap();
    let output = run(stage.folder.path(), serve);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("can't be written") && said.contains("its folder has to exist"),
        "{said}"
    );
}

#[test]
fn its_path_is_relative_to_the_configurations_folder() {
    let stage = Stage::new();
    let settings = stage.settings.replace(stage.state().to_str().unwrap(), "var/state.json");
    fs::create_dir(stage.folder.path().join("var")).unwrap();
    let text = config(&settings, &stage.upstreams.iter().collect::<Vec<_>>());
    let state = stage.folder.path().join("var/state.json");
    let _gateway = Gateway::within(stage.folder, &text);
    assert!(Path::new(&state).exists());
}
