//! `docs/WISEJ.md`: its configuration before and after, full instances, sockets, deployments and pin losses.

use crate::support::test;
use std::net::SocketAddr;

use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::guest::{Guest, astray};
use super::guide::{Guide, fitted, with};
use super::nginx::{guests, reversed, round_robin};
use super::site::Site;
use crate::support::client::exchange;
use crate::support::gateway::Gateway;
use crate::support::program::{find, free_address};
use crate::support::{until, websocket};

const ADDRESSES: [&str; 3] = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"];

/// The guide's configuration for ARR, which is also the final one.
fn settled(guide: &Guide) -> String {
    let after = with(guide.block("After", "toml"), guide.block("From ip_hash", "toml").trim_end());
    with(&after, guide.block("From IIS with ARR", "toml").trim_end())
}

#[test]
fn from_ip_hash_and_from_arr() {
    let Some(nginx) = find("nginx") else { return };
    let guide = Guide::read("WISEJ.md");
    let after = guide.block("After", "toml");
    let site = Site::new(ADDRESSES);
    let front = site.nginx(&nginx, guide.block("Before", "nginx"));
    let strange = [reversed(after), round_robin(after)];
    site.change_over(&front, guests(), after, &settled(&guide), &[&strange[0], &strange[1]]);
    guide.all_was_run();
}

/// The names' cookies, as another program than ours makes them: `printf app-1 | iconv -t UTF-16LE | sha256sum`.
const ARR: [&str; 3] = [
    "CA4723A4B33FBD9C16CE51EAD957CDE5B1491F4CF72469AD3F663D1D9F6F53D2",
    "17389567D2B7D813D5D9FFC7BB7545950F695E2B2AE26B1500AF89F11F0667EF",
    "A05901C32C242232F569FF2FF109C041EE771ED84CAE405AD4208C3958DDFF31",
];

#[test]
fn cookies_of_arr_are_read() {
    let guide = Guide::read("WISEJ.md");
    let site = Site::new(ADDRESSES);
    let gateway = site.gateway(&settled(&guide));
    for (instance, cookie) in site.instances.iter().zip(ARR) {
        for _ in 0..3 {
            let mut guest = Guest::new(1);
            guest.cookies.insert("ARRAffinity".to_owned(), cookie.to_owned());
            guest.arrive(gateway.address());
            assert_eq!(guest.home, instance.name);
        }
    }
}

/// A gateway with the guide's configuration, and its administration's address.
fn administered(site: &Site) -> (Gateway, SocketAddr) {
    let guide = Guide::read("WISEJ.md");
    let admin = free_address();
    let quick = [("127.0.0.1:9090", admin.to_string()), ("interval = \"2s\"", "interval = \"100ms\"".to_owned())];
    let quick: Vec<_> = quick.iter().map(|(old, new)| (*old, new.as_str())).collect();
    // Sessions leave at once, and no slow start delays new ones.
    let at_once = [("spread = \"30s\"", "spread = \"0s\""), ("[admin]", "[slow_start]\nwindow = \"0s\"\n\n[admin]")];
    (site.gateway(&fitted(&fitted(&settled(&guide), &quick), &at_once)), admin)
}

fn upstream(admin: SocketAddr, name: &str) -> Value {
    let response = exchange(admin, format!("GET /api/v1/upstreams HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    let all: Value = serde_json::from_slice(&response.body.data).expect("JSON");
    let mut upstreams = all["upstreams"].as_array().expect("a list").iter();
    upstreams.find(|upstream| upstream["name"] == name).expect("an upstream of that name").clone()
}

fn post(admin: SocketAddr, path: &str, body: &str) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n");
    let response = exchange(admin, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(response.status(), 200, "{response:?}");
}

/// Twenty new visitors; the number that `name` got.
fn given_to(name: &str, gateway: &Gateway, from: u8) -> usize {
    let mut newcomers: Vec<_> = (from..from + 20).map(Guest::new).collect();
    newcomers.iter_mut().for_each(|guest| guest.arrive(gateway.address()));
    newcomers.iter().filter(|guest| guest.home == name).count()
}

#[test]
fn a_full_instance_keeps_its_sessions_and_gets_no_new_ones() {
    let site = Site::new(ADDRESSES);
    let (gateway, admin) = administered(&site);
    let mut guests = site.settle(guests(), gateway.address());
    site.conditions[0].set_full(true);
    until("app-1 is known to be full", || upstream(admin, "app-1")["accepting"] == false);
    assert_eq!(upstream(admin, "app-1")["serving"], true);
    assert_eq!(given_to("app-1", &gateway, 100), 0);
    assert_eq!(astray(&mut guests, gateway.address()), 0);
    site.conditions[0].set_full(false);
    until("app-1 has room", || upstream(admin, "app-1")["accepting"] == true);
    assert!(given_to("app-1", &gateway, 130) > 0);
}

#[test]
fn a_deployment_closes_the_sockets_of_its_instance_alone_and_says_why() {
    let site = Site::new(ADDRESSES);
    let (gateway, admin) = administered(&site);
    let mut guests = site.settle(guests(), gateway.address());
    let mut sockets: Vec<_> = guests
        .iter()
        .map(|guest| (guest.home.clone(), websocket::open(gateway.address(), &guest.fields()).0))
        .collect();

    post(admin, "/api/v1/upstreams/app-1/drain", "{\"deadline\": \"2h\"}");
    assert_eq!(given_to("app-1", &gateway, 100), 0);
    assert_eq!(astray(&mut guests, gateway.address()), 0, "nobody leaves before the deadline");
    for (home, socket) in &mut sockets {
        socket.send(Message::text(home.as_str())).expect("send");
        assert_eq!(socket.read().expect("an echo"), Message::text(home.as_str()));
    }

    post(admin, "/api/v1/upstreams/app-1/drain", "{\"deadline\": \"0s\"}");
    for (home, socket) in &mut sockets {
        if home == "app-1" {
            let told = socket.read().expect("a Close");
            assert!(matches!(&told, Message::Close(Some(frame)) if frame.code == CloseCode::Restart), "{told:?}");
        } else {
            socket.send(Message::text("still here")).expect("send");
            assert_eq!(socket.read().expect("an echo"), Message::text("still here"));
        }
    }
    until("app-1 is empty", || upstream(admin, "app-1")["in_flight"] == 0);
    for guest in &mut guests {
        let response = guest.visit(gateway.address());
        let lost = response.head.one("homing-lost");
        match guest.home.as_str() {
            "app-1" => assert_eq!(lost.as_deref(), Some("drained")),
            home => assert_eq!((response.text(), lost), (format!("{home} kept"), None)),
        }
    }
    post(admin, "/api/v1/upstreams/app-1/resume", "{}");
    until("app-1 is back", || upstream(admin, "app-1")["accepting"] == true);
}

#[test]
fn a_pin_loss_is_reported_to_the_client_once() {
    let mut site = Site::new(ADDRESSES);
    let (gateway, _) = administered(&site);
    let mut guests = site.settle(guests(), gateway.address());
    site.instances[2].stop();
    for guest in &mut guests {
        let first = guest.visit(gateway.address());
        let is_lost = guest.home == "app-3";
        assert_eq!(first.head.one("homing-lost").as_deref(), is_lost.then_some("not_serving"));
        let again = guest.visit(gateway.address());
        assert_eq!((again.head.one("homing-lost"), again.text().ends_with(" kept")), (None, true));
    }
}
