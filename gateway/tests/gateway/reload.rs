//! A reload: applied whole or refused whole, without a failed request.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};

use tokio_tungstenite::tungstenite::Message;

use crate::support::GUARD;
use crate::support::certificate::Certificate;
use crate::support::client::{connect, exchange, get, request};
use crate::support::gateway::Gateway;
use crate::support::load::Load;
use crate::support::program::free_address;
use crate::support::upstream::{Next, Upstream};
use crate::support::visitor::Visitor;
use crate::support::websocket::{echo, open};
use crate::support::wire::Wire;

pub const RELOADED: &str = "configuration reloaded";
const REFUSED: &str = "configuration refused, the old one stays in force: ";

/// Responds with its name; `/socket` is a WebSocket that echoes, and `/slow` sends half of its response and
/// the rest on command.
pub fn application(name: &str) -> (Upstream, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let (released, body) = (Mutex::new(released), name.to_owned());
    let upstream = Upstream::start(name, move |exchange| match exchange.head.target().as_str() {
        "/socket" => echo(exchange),
        "/slow" => {
            exchange.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
            released.lock().expect("lock").recv_timeout(4 * GUARD).map_err(std::io::Error::other)?;
            exchange.send("-last")?;
            Ok(Next::Request)
        }
        _ => exchange.ok(&body),
    });
    (upstream, release)
}

/// A configuration whose `listen` has these addresses besides an ephemeral one.
fn config(more: &[SocketAddr], settings: &str, upstreams: &[String]) -> String {
    let listen: String = more.iter().map(|address| format!(", \"{address}\"")).collect();
    format!("listen = [\"127.0.0.1:0\"{listen}]\nworkers = 2\n{settings}\n{}", upstreams.concat())
}

fn set_cookie(address: SocketAddr) -> String {
    get(address, "/").head.all("set-cookie").concat()
}

/// A connection with a request in flight for `app-1`'s slow response.
pub fn ask_slowly(gateway: SocketAddr) -> Wire<TcpStream> {
    // One of two visitors is pinned there.
    loop {
        let mut wire = connect(gateway);
        let mut visitor = Visitor::new(gateway, "slow");
        if visitor.visit_on(&mut wire).text() == "app-1" {
            wire.send(request("GET", "/slow", &visitor.fields())).expect("send");
            return wire;
        }
    }
}

#[test]
fn nothing_is_lost_under_load() {
    let (one, release) = application("app-1");
    let (two, _two) = application("app-2");
    let three = Upstream::named("app-3");
    let usual = [one.entry(""), two.entry("")];
    let gateway = Gateway::with(&config(&[], "", &usual));
    let load = Load::start(gateway.address());
    let mut slow = ask_slowly(gateway.address());
    let (_, slow_head) = slow.response_head();
    let (mut socket, _) = open(gateway.address(), "");
    let extra = free_address();
    let variants = [
        config(&[extra], "[affinity]\nsame_site = \"strict\"", &[one.entry(""), two.entry(""), three.entry("")]),
        config(&[extra], "[policy]\nname = \"rendezvous\"", &[one.entry("weight = 3"), two.entry("")]),
        config(&[], "[timeouts]\nidle = \"9s\"\nresponse = \"20s\"\n[policy]\nname = \"p2c\"", &usual),
        config(&[], "[health]\ninterval = \"1s\"\n[retry]\nratio = 0.1\n[queue]\nsize = 7", &usual),
        config(
            &[],
            "[affinity]\nidle = \"20m\"\non_full = \"move\"\n[failover]\nrate = 10",
            &[two.entry(""), one.entry("")],
        ),
    ];
    for (round, text) in variants.iter().cycle().take(20).enumerate() {
        let before = gateway.says(RELOADED);
        if round % 2 == 0 {
            gateway.replace(text);
        } else {
            gateway.write(text);
            gateway.signal("HUP");
        }
        gateway.await_saying(RELOADED, before + 1);
        load.go_on(60);
        let is_strict = set_cookie(gateway.address()).contains("SameSite=Strict");
        assert_eq!(is_strict, text.contains("strict"), "{text}");
        let listens = TcpStream::connect(extra).is_ok();
        assert_eq!(listens, text.contains(&extra.to_string()), "{text}");
        if listens {
            assert_eq!(get(extra, "/").status(), 200);
        }
        socket.send(Message::text(format!("round {round}"))).expect("send");
        assert_eq!(socket.read().expect("read"), Message::text(format!("round {round}")));
    }
    assert!(three.seen().iter().any(|seen| seen.whole()), "who was added had visitors");
    assert_eq!(gateway.says(REFUSED), 0);
    release.send(()).expect("let it go on");
    let body = slow.body(slow_head.of_response("GET").expect("a framing")).expect("the body");
    assert_eq!((body.text().as_str(), body.whole), ("first-last", true));
    assert!(load.served() > 20 * 60);
    assert_eq!(load.stop(), Vec::<String>::new());
}

/// The control: the load notices failures, so its silence is proof.
#[test]
fn the_load_notices_what_is_lost() {
    let (one, _release) = application("app-1");
    let gateway = Gateway::with(&config(&[], "", &[one.entry("")]));
    let load = Load::start(gateway.address());
    load.go_on(20);
    gateway.signal("KILL");
    // Until all clients have given up.
    load.go_on(1_000_000);
    assert!(load.stop().len() >= 6);
    // A session that moves is noticed too.
    let (one, two) = (Upstream::named("app-1"), Upstream::named("app-2"));
    let gateway = Gateway::with(&config(&[], "", &[one.entry(""), two.entry("")]));
    let load = Load::start(gateway.address());
    load.go_on(20);
    gateway.replace(&config(&[], "", &[two.entry("")]));
    gateway.await_saying(RELOADED, 1);
    load.go_on(60);
    let faults = load.stop();
    assert!(faults.iter().any(|fault| fault.contains("pinned to app-1, and served by app-2")), "{faults:?}");
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    let upstreams = Upstream::several(2);
    let entries: Vec<_> = upstreams.iter().map(|upstream| upstream.entry("")).collect();
    let taken = "192.0.2.1:80".parse().expect("an address of nobody here");
    let admin = free_address();
    let administered = format!("[admin]\nlisten = \"{admin}\"\n");
    let gateway = Gateway::with(&config(&[], &administered, &entries));
    let strict = format!("{administered}[affinity]\nsame_site = \"strict\"\n");
    let metric = || {
        let page = exchange(admin, request("GET", "/metrics", "").replace("app.example", &admin.to_string()));
        let page = String::from_utf8(page.body.data).expect("UTF-8");
        let value = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim().to_owned();
        let time = value("homing_config_last_reload_success_timestamp_seconds").parse::<f64>().expect("a time");
        (value("homing_config_last_reload_successful"), time)
    };
    let (successful, start) = metric();
    assert!(successful == "1" && start > 1.7e9, "{successful} {start}");
    let refusals = [
        (config(&[], &strict, &[upstreams[0].entry("weight = 0")]), "gateway.toml:11:10: upstream[0].weight: "),
        (config(&[], &strict, &[]), "gateway.toml:1:1: upstream: "),
        (config(&[taken], &strict, &entries), "gateway.toml:1:10: listen: cannot listen on 192.0.2.1:80: "),
        (
            config(&[], &format!("{strict}live_window = \"256s\""), &entries),
            "gateway.toml:7:15: affinity.live_window: cannot change",
        ),
        (
            config(&[], &strict, &entries).replace("workers = 2", "workers = 2\nstate = \"homing.state\""),
            "gateway.toml:3:9: state: cannot change",
        ),
        (
            config(&[], &strict, &entries).replace("workers = 2", "workers = 3"),
            "gateway.toml:2:11: workers: cannot change",
        ),
        (
            config(&[], &format!("{strict}enabled = false"), &entries),
            "gateway.toml:7:11: affinity.enabled: cannot change",
        ),
        (config(&[], &format!("{strict}keys = \"other.keys\""), &entries), "gateway.toml:7:8: affinity.keys: "),
        (
            config(&[], &format!("{strict}[tls]\ncertificate = \"a\"\nkey = \"b\""), &entries),
            "gateway.toml:8:15: tls.certificate: ",
        ),
        (
            config(&[], &strict.replace("[admin]", "[admin]\ntoken_file = \"no\""), &entries),
            "gateway.toml:4:14: admin.token_file: ",
        ),
    ];
    for (number, (text, place)) in refusals.iter().enumerate() {
        gateway.replace(text);
        gateway.await_saying(REFUSED, number + 1);
        let log = gateway.log();
        let line = log.lines().rfind(|line| line.contains(REFUSED)).expect("its line");
        assert!(line.contains(place), "{line}\nand not {place}");
        assert!(set_cookie(gateway.address()).contains("SameSite=Lax"), "nothing of it is in force: {place}");
        assert_eq!(metric(), ("0".to_owned(), start));
    }
    assert_eq!(gateway.says(RELOADED), 0);
    gateway.replace(&config(&[], &strict, &entries));
    gateway.await_saying(RELOADED, 1);
    assert!(set_cookie(gateway.address()).contains("SameSite=Strict"));
    let (successful, time) = metric();
    assert!(successful == "1" && time > start);
}

#[test]
fn an_operators_changes_stay() {
    let upstreams = Upstream::several(3);
    let entries: Vec<_> = upstreams.iter().map(|upstream| upstream.entry("")).collect();
    let admin = free_address();
    let administered = |more: &str| format!("[admin]\nlisten = \"{admin}\"\n{more}");
    let gateway = Gateway::with(&config(&[], &administered(""), &entries[..2]));
    let tell = |method: &str, target: &str, body: &str| {
        let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let told =
            connect(admin).exchange(format!("{method} {target} HTTP/1.1\r\nHost: {admin}\r\n{fields}\r\n{body}"));
        assert_eq!(told.status() / 100, 2, "{}", told.text());
    };
    tell("POST", "/api/v1/upstreams/app-1/drain", "{}");
    let added = format!("{{\"address\":\"{}\"}}", upstreams[2].address);
    tell("PUT", "/api/v1/upstreams/app-3", &added);
    gateway.replace(&config(
        &[],
        &administered("[policy]\nname = \"round_robin\"\n[slow_start]\nwindow = \"0s\""),
        &entries[..2],
    ));
    gateway.await_saying(RELOADED, 1);
    let page =
        connect(admin).exchange(request("GET", "/api/v1/upstreams", "").replace("app.example", &admin.to_string()));
    let page: serde_json::Value = serde_json::from_slice(&page.body.data).expect("JSON");
    let states: Vec<_> = page["upstreams"]
        .as_array()
        .expect("upstreams")
        .iter()
        .map(|one| (one["name"].as_str(), one["state"].as_str()))
        .collect();
    assert_eq!(states.iter().map(|(name, _)| name.expect("a name")).collect::<Vec<_>>(), ["app-1", "app-2", "app-3"]);
    assert_eq!(states[0].1, Some("draining"));
    let visits: Vec<_> = (0..12).map(|_| get(gateway.address(), "/").text()).collect();
    assert!(!visits.contains(&"app-1".to_owned()) && visits.contains(&"app-3".to_owned()), "{visits:?}");
}

#[test]
fn the_administration_comes_moves_and_goes() {
    let upstream = Upstream::named("app-1");
    let entries = [upstream.entry("")];
    let (first, second) = (free_address(), free_address());
    let answers = |admin: SocketAddr| TcpStream::connect(admin).is_ok();
    let table = |admin: SocketAddr| format!("[admin]\nlisten = \"{admin}\"");
    let gateway = Gateway::with(&config(&[], "", &entries));
    for (times, (settings, expected)) in
        [(table(first), [true, false]), (table(second), [false, true]), (String::new(), [false, false])]
            .into_iter()
            .enumerate()
    {
        gateway.replace(&config(&[], &settings, &entries));
        gateway.await_saying(RELOADED, times + 1);
        assert_eq!([answers(first), answers(second)], expected, "{settings}");
    }
}

#[test]
fn a_renewed_certificate_is_taken_over() {
    let upstream = Upstream::named("app-1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (old, new) = (Certificate::new(), Certificate::new());
    let table = old.table(directory.path());
    let gateway = Gateway::within(directory, &config(&[], &table, &[upstream.entry("")]));
    let mut before = old.connect(gateway.address(), &[]);
    assert_eq!(before.exchange(request("GET", "/", "")).status(), 200);
    // The configuration stays the same; only the two files change.
    new.table(gateway.directory());
    gateway.await_saying(RELOADED, 1);
    assert_eq!(new.connect(gateway.address(), &[]).exchange(request("GET", "/", "")).status(), 200);
    assert_eq!(before.exchange(request("GET", "/", "")).status(), 200, "who was connected stays");
    assert!(old.connect(gateway.address(), &[]).send(request("GET", "/", "")).is_err(), "the old one is shown no more");
}

#[test]
fn a_rotated_key_is_taken_over() {
    let upstreams = Upstream::several(4);
    let entries: Vec<_> = upstreams.iter().map(|upstream| upstream.entry("")).collect();
    let gateway = Gateway::with(&config(&[], "", &entries));
    let mut visitors = Visitor::several(gateway.address(), 8);
    let homes: Vec<_> = visitors.iter_mut().map(|visitor| visitor.visit().text()).collect();
    let file = gateway.directory().join("homing.keys");
    let keys = std::fs::read_to_string(&file).expect("the keys");
    std::fs::write(&file, rotated(&keys)).expect("write the keys");
    gateway.await_saying(RELOADED, 1);
    for (visitor, home) in visitors.iter_mut().zip(homes) {
        assert_eq!(visitor.visit().text(), home);
        assert_eq!(visitor.given, 2, "the new key signs");
    }
}

/// The signing key verifies from now on, and another one signs.
fn rotated(keys: &str) -> String {
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let kept = keys.replace("use = \"sign\"", "use = \"verify\"");
    format!("{kept}\n[[key]]\nid = 3\nsecret = \"{secret}\"\nuse = \"sign\"\n")
}
