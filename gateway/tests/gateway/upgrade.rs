//! Upgrade in place: another process takes over the sockets, without a failed request.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use tokio_tungstenite::tungstenite::Message;

use super::reload::{application, ask_slowly};
use crate::support::client::{connect, get, request};
use crate::support::gateway::{Gateway, link};
use crate::support::h2;
use crate::support::load::Load;
use crate::support::program::free_address;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use crate::support::websocket::open;

const NO_UPGRADE: &str = "no upgrade, this process goes on: ";

fn config(workers: usize, settings: &str, upstreams: &[&Upstream]) -> String {
    let entries: String = upstreams.iter().map(|upstream| upstream.entry("")).collect();
    format!("listen = [\"127.0.0.1:0\"]\nworkers = {workers}\n{settings}\n{entries}")
}

#[test]
fn ten_upgrades_under_load_lose_nothing() {
    let (one, release) = application("app-1");
    let (two, _two) = application("app-2");
    let mut gateway = Gateway::with(&config(2, "", &[&one, &two]));
    let load = Load::start(gateway.address());
    let mut visitors = Visitor::several(gateway.address(), 6);
    let homes: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
    let mut slow = ask_slowly(gateway.address());
    let (_, slow_head) = slow.response_head();
    let (mut socket, _) = open(gateway.address(), "");
    let mut old = Vec::new();
    for round in 0..10 {
        old.push(gateway.upgrade());
        load.go_on(60);
        socket.send(Message::text(format!("round {round}"))).expect("send");
        assert_eq!(socket.read().expect("read"), Message::text(format!("round {round}")));
        for (visitor, home) in visitors.iter_mut().zip(&homes) {
            assert_eq!(&visitor.visit().text(), home);
            assert_eq!(visitor.given, 1, "its token is as good as ever");
        }
    }
    assert!(!old.contains(&gateway.process()));
    // The processes in between have nothing left; the first has a tunnel and half a response.
    let first = old.remove(0);
    for process in old {
        gateway.await_end(process);
    }
    release.send(()).expect("let it go on");
    let body = slow.body(slow_head.of_response("GET").expect("a framing")).expect("the body");
    assert_eq!((body.text().as_str(), body.whole), ("first-last", true));
    socket.send(Message::text("still there")).expect("send");
    assert_eq!(socket.read().expect("read"), Message::text("still there"));
    socket.close(None).expect("close");
    while socket.read().is_ok() {}
    drop((socket, slow));
    gateway.await_end(first);
    assert_eq!(load.stop(), Vec::<String>::new());
    assert_eq!(get(gateway.address(), "/").status(), 200);
}

/// The control: the same load during a restart without a handover.
#[test]
fn a_restart_is_noticed() {
    let (one, _release) = application("app-1");
    let address = free_address();
    let text = config(1, "", &[&one]).replace("127.0.0.1:0", &address.to_string());
    let gateway = Gateway::with(&text);
    let load = Load::start(address);
    load.go_on(20);
    drop(gateway);
    let _gateway = Gateway::with(&text);
    load.go_on(20);
    assert!(!load.stop().is_empty());
}

#[test]
fn connections_not_yet_accepted_are_not_dropped() {
    let upstream = Upstream::named("app-1");
    // From more workers to fewer, whose accept queues must be drained too, and the other way round.
    for (before, after) in [(3, 1), (1, 3)] {
        let mut gateway = Gateway::with(&config(before, "", &[&upstream]));
        gateway.write(&config(after, "", &[&upstream]));
        // Refused by a reload, and applied by an upgrade.
        gateway.await_saying("workers: cannot change", 1);
        let mut old = gateway.process();
        for _ in 0..3 {
            let load = Load::start(gateway.address());
            load.go_on(10);
            old = gateway.upgrade();
            let mut waiting: Vec<_> = (0..30).map(|_| connect(gateway.address())).collect();
            for wire in &mut waiting {
                wire.send(request("GET", "/", "")).expect("send");
            }
            for mut wire in waiting {
                assert_eq!(wire.response("GET").text(), "app-1");
            }
            assert_eq!(load.stop(), Vec::<String>::new());
        }
        gateway.await_end(old);
    }
}

#[test]
fn an_idle_connection_is_good_for_one_request_more() {
    let upstream = Upstream::named("app-1");
    let mut gateway = Gateway::with(&config(1, "", &[&upstream]));
    let mut idle = connect(gateway.address());
    let first = idle.exchange(request("GET", "/", ""));
    assert!(!first.head.has("connection"));
    let old = gateway.upgrade();
    let last = idle.exchange(request("GET", "/", ""));
    assert_eq!((last.status(), last.head.one("connection").as_deref()), (200, Some("close")));
    assert!(idle.ended());
    gateway.await_end(old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_told_to_come_again() {
    let upstream = Upstream::named("app-1");
    let mut gateway = Gateway::with(&config(1, "", &[&upstream]));
    let sender = h2::prior_knowledge(gateway.address()).await;
    assert_eq!(h2::fetch(&sender, h2::get("/")).await.text(), "app-1");
    let old = tokio::task::block_in_place(|| gateway.upgrade());
    h2::guard(async {
        while !sender.is_closed() {
            tokio::task::yield_now().await
        }
    })
    .await;
    gateway.await_end(old);
    let sender = h2::prior_knowledge(gateway.address()).await;
    assert_eq!(h2::fetch(&sender, h2::get("/")).await.text(), "app-1");
}

#[test]
fn what_cannot_follow_leaves_the_old_one() {
    let upstream = Upstream::named("app-1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = link(directory.path());
    let text = config(1, "", &[&upstream]);
    let mut gateway = Gateway::of(&program, directory, &text);
    let load = Load::start(gateway.address());
    let process = gateway.process();
    let refused = |gateway: &Gateway, times: usize, why: &str| {
        gateway.signal("USR2");
        gateway.await_saying(NO_UPGRADE, times);
        let log = gateway.log();
        assert!(log.lines().rfind(|line| line.contains(NO_UPGRADE)).expect("its line").contains(why), "{log}");
        load.go_on(20);
    };
    fs::remove_file(&program).expect("take the program away");
    refused(&gateway, 1, "cannot start");
    fs::write(&program, "#!/bin/sh\nexit 7\n").expect("write another");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("make it a program");
    refused(&gateway, 2, "exit status: 7");
    fs::remove_file(&program).expect("take that away");
    link(gateway.directory());
    gateway.write("listen = 7");
    refused(&gateway, 3, "exit status: 1");
    gateway.await_saying("configuration refused", 1);
    gateway.write(&text);
    gateway.await_saying("configuration reloaded", 1);
    assert_eq!(gateway.process(), process);
    // The sockets work as before.
    let old = gateway.upgrade();
    assert_eq!(old, process);
    load.go_on(20);
    assert_eq!(load.stop(), Vec::<String>::new());
    gateway.await_end(old);
}

#[test]
fn overrides_are_handed_over_in_the_state_file() {
    let upstreams = Upstream::several(3);
    let admin = free_address();
    let administered = format!("state = \"homing.state\"\n[admin]\nlisten = \"{admin}\"\n");
    let mut gateway = Gateway::with(&config(1, &administered, &[&upstreams[0], &upstreams[1]]));
    let ask = |method: &str, target: &str, body: &str| {
        let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let fields = format!("{method} {target} HTTP/1.1\r\nHost: {admin}\r\n{fields}\r\n{body}");
        let told = connect(admin).exchange(fields);
        assert_eq!(told.status() / 100, 2, "{}", told.text());
        serde_json::from_slice::<serde_json::Value>(&told.body.data).expect("JSON")
    };
    ask("POST", "/api/v1/upstreams/app-1/drain", "{}");
    ask("PUT", "/api/v1/upstreams/app-3", &format!("{{\"address\":\"{}\"}}", upstreams[2].address));
    let old = gateway.upgrade();
    let page = ask("GET", "/api/v1/upstreams", "");
    let state = |index: usize| (page["upstreams"][index]["name"].as_str(), page["upstreams"][index]["state"].as_str());
    assert_eq!(state(0), (Some("app-1"), Some("draining")));
    assert_eq!(state(2).0, Some("app-3"));
    gateway.await_end(old);
    // The successor writes the file from now on.
    ask("POST", "/api/v1/upstreams/app-1/resume", "{}");
    assert!(!fs::read_to_string(gateway.directory().join("homing.state")).expect("the state").contains("drain"));
}

#[test]
fn the_administration_and_a_changed_configuration_come_along() {
    let upstreams = Upstream::several(2);
    let admin = free_address();
    let administered = format!("[admin]\nlisten = \"{admin}\"\n");
    let mut gateway = Gateway::with(&config(1, &administered, &[&upstreams[0]]));
    let names = || {
        let fields = request("GET", "/api/v1/upstreams", "").replace("app.example", &admin.to_string());
        let page: serde_json::Value = serde_json::from_slice(&connect(admin).exchange(fields).body.data).expect("JSON");
        page["upstreams"].as_array().expect("upstreams").iter().map(|one| one["name"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["\"app-1\""]);
    // Two workers: what a reload refuses, so that it is the upgrade that brings it.
    gateway.write(&config(2, &administered, &[&upstreams[0], &upstreams[1]]));
    gateway.await_saying("workers: cannot change", 1);
    let old = gateway.upgrade();
    assert_eq!(names(), ["\"app-1\"", "\"app-2\""]);
    gateway.await_end(old);
    gateway.terminate();
    gateway.await_end(gateway.process());
    assert!(TcpStream::connect(gateway.address()).is_err());
    assert!(TcpStream::connect(admin).is_err());
}
