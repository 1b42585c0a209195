//! Change-overs from real programs: each serves a few clients in front of three upstreams, then the gateway replaces
//! it, and every client returns to its upstream.
//!
//! nginx and HAProxy are Debian's, Traefik and Caddy PyPI's.
//! `tests/vectors/legacy_cookies.json` has recorded cookies of all four.

use crate::support::test;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::client::{Response, exchange, request};
use crate::support::gateway::Gateway;
use crate::support::program::{NGINX_ARGUMENTS, Program, find, free_address, nginx_config};
use crate::support::upstream::Upstream;
use crate::support::visitor::token;

/// The name of every program's cookie here.
const COOKIE: &str = "place";
const SECRET: &str = "a secret";

/// A GET with these cookies, if `address` responds.
fn visit(address: SocketAddr, cookies: &str) -> Response {
    let fields = if cookies.is_empty() { String::new() } else { format!("Cookie: {cookies}\r\n") };
    exchange(address, request("GET", "/", &fields))
}

/// How a program is run in front of these upstreams, at this address: its arguments and its file.
type Setup = fn(SocketAddr, &[Upstream]) -> (Vec<String>, &'static str, String);

fn start(program: PathBuf, setup: Setup, upstreams: &[Upstream]) -> (Program, SocketAddr) {
    let front = free_address();
    let (arguments, file, config) = setup(front, upstreams);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Traefik responds with 404 until it has read its file.
    let ready = || match TcpStream::connect(front) {
        Ok(_) if visit(front, "").status() == 200 => Ok(()),
        other => Err(format!("not yet: {other:?}")),
    };
    (Program::start_in(directory, &program, &arguments, (file, config), ready), front)
}

/// The cookies that it sets, two for each upstream.
fn clients(front: SocketAddr, upstreams: &[Upstream]) -> BTreeMap<String, Vec<String>> {
    let mut clients: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let since = Instant::now();
    while clients.len() < upstreams.len() || clients.values().any(|cookies| cookies.len() < 2) {
        assert!(since.elapsed() < Duration::from_secs(30), "{clients:?}");
        let first = visit(front, "");
        let prefix = format!("{COOKIE}=");
        let set = first.head.all("set-cookie").into_iter().find(|cookie| cookie.starts_with(&prefix));
        let cookie = set.expect("its cookie").split(';').next().unwrap_or_default().to_owned();
        assert_eq!(visit(front, &cookie).text(), first.text(), "the incumbent itself follows {cookie}");
        clients.entry(first.text()).or_default().push(cookie);
    }
    clients
}

fn gateway(accept: &str, upstreams: &[Upstream]) -> Gateway {
    let settings = format!("[affinity]\naccept = [{accept}]\n[policy]\nname = \"round_robin\"");
    Gateway::start(&settings, &upstreams.iter().collect::<Vec<_>>())
}

/// Replaces that program; with `wrong` accepted instead, no session is found.
fn cut_over(program: Option<PathBuf>, setup: Setup, right: &str, wrong: &[&str]) {
    let Some(program) = program else { return };
    let upstreams = Upstream::several(3);
    let (incumbent, front) = start(program, setup, &upstreams);
    let clients = clients(front, &upstreams);
    drop(incumbent);

    let entry = |from: &str| format!("{{ cookie = \"{COOKIE}\", {from} }}");
    let ours = gateway(&entry(right), &upstreams);
    for (place, cookies) in &clients {
        for cookie in cookies {
            let first = visit(ours.address(), cookie);
            assert_eq!(&first.text(), place, "{cookie}");
            let token = token(&first.head).expect("our cookie");
            for cookies in [format!("{cookie}; homing={token}"), format!("homing={token}")] {
                let again = visit(ours.address(), &cookies);
                assert_eq!(&again.text(), place);
                assert!(!again.head.has("set-cookie"));
            }
        }
    }
    for wrong in wrong.iter().map(|from| entry(from)).chain([String::new()]) {
        let strange = gateway(&wrong, &upstreams);
        for cookies in clients.values() {
            let places: BTreeSet<_> = (0..3).map(|_| visit(strange.address(), &cookies[0]).text()).collect();
            assert_eq!(places.len(), 3, "{wrong:?} pinned {cookies:?} to {places:?}");
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn listed(upstreams: &[Upstream], line: impl Fn(&str, SocketAddr) -> String) -> String {
    upstreams.iter().map(|upstream| line(&upstream.name, upstream.address)).collect()
}

/// nginx 1.22 has no `sticky`; a map of a cookie does what `sticky route` does.
fn nginx(front: SocketAddr, upstreams: &[Upstream]) -> (Vec<String>, &'static str, String) {
    let blocks = listed(upstreams, |name, address| format!("upstream {name} {{ server {address}; }}\n"));
    let routes = listed(upstreams, |name, _| format!("{name} {name}; "));
    let http = format!(
        "{blocks}
        split_clients $request_id $drawn {{ 33% app-1; 33% app-2; * app-3; }}
        map $cookie_{COOKIE} $route {{ {routes} default $drawn; }}
        server {{ listen {front}; location / {{
            proxy_pass http://$route; add_header Set-Cookie \"{COOKIE}=$route; Path=/\"; }} }}"
    );
    (NGINX_ARGUMENTS.map(str::to_owned).to_vec(), "config", nginx_config(64, &http))
}

fn haproxy_with(cookie: &str, front: SocketAddr, servers: &str) -> (Vec<String>, &'static str, String) {
    let config = format!(
        "defaults
  mode http
  timeout connect 30s
  timeout client 60s
  timeout server 30s
listen front
  bind {front}
  balance roundrobin
  cookie {COOKIE} insert indirect nocache {cookie}
{servers}"
    );
    (words("-db -f config"), "config", config)
}

fn haproxy(front: SocketAddr, upstreams: &[Upstream]) -> (Vec<String>, &'static str, String) {
    let servers = listed(upstreams, |name, address| format!("  server s-{name} {address} cookie {name}\n"));
    haproxy_with("", front, &servers)
}

fn haproxy_dated(front: SocketAddr, upstreams: &[Upstream]) -> (Vec<String>, &'static str, String) {
    let servers = listed(upstreams, |name, address| format!("  server s-{name} {address} cookie {name}\n"));
    haproxy_with("maxidle 30m maxlife 12h", front, &servers)
}

fn haproxy_dynamic(front: SocketAddr, upstreams: &[Upstream]) -> (Vec<String>, &'static str, String) {
    let servers = listed(upstreams, |name, address| format!("  server s-{name} {address}\n"));
    haproxy_with(&format!("dynamic\n  dynamic-cookie-key \"{SECRET}\""), front, &servers)
}

fn traefik(front: SocketAddr, upstreams: &[Upstream]) -> (Vec<String>, &'static str, String) {
    let servers = listed(upstreams, |_, address| {
        format!("[[http.services.app.loadBalancer.servers]]\nurl = \"http://{address}\"\n")
    });
    let config = format!(
        "[http.routers.all]\nrule = \"PathPrefix(`/`)\"\nservice = \"app\"\n\
         [http.services.app.loadBalancer.sticky.cookie]\nname = \"{COOKIE}\"\n{servers}"
    );
    let arguments = format!(
        "--entrypoints.web.address={front} --providers.file.filename=dynamic.toml --global.checknewversion=false \
         --global.sendanonymoususage=false"
    );
    (words(&arguments), "dynamic.toml", config)
}

fn caddy(front: SocketAddr, upstreams: &[Upstream]) -> (Vec<String>, &'static str, String) {
    let addresses = listed(upstreams, |_, address| format!(" {address}"));
    let (host, port) = (front.ip(), front.port());
    // By the port alone, for any host.
    let config = format!(
        "{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}}\n\
         http://:{port} {{\n\tbind {host}\n\treverse_proxy{addresses} {{\n\t\tlb_policy cookie {COOKIE} \"{SECRET}\"\n\t}}\n}}\n"
    );
    (words("run --config config --adapter caddyfile"), "config", config)
}

#[test]
fn from_nginx() {
    cut_over(find("nginx"), nginx, "from = \"nginx-route\"", &["from = \"nginx-md5\""]);
}

#[test]
fn from_haproxy() {
    cut_over(find("haproxy"), haproxy, "from = \"haproxy\"", &["from = \"yarp-hash\""]);
}

#[test]
fn from_haproxy_with_dates() {
    cut_over(find("haproxy"), haproxy_dated, "from = \"haproxy\"", &["from = \"nginx-route\""]);
}

#[test]
fn from_haproxy_with_a_key() {
    let from = |secret: &str| format!("from = \"haproxy-dynamic\", secret = \"{secret}\"");
    cut_over(find("haproxy"), haproxy_dynamic, &from(SECRET), &[&from("another secret"), "from = \"haproxy\""]);
}

#[test]
fn from_traefik() {
    cut_over(find("traefik"), traefik, "from = \"traefik\"", &["from = \"haproxy\""]);
}

#[test]
fn from_caddy() {
    let from = |secret: &str| format!("from = \"caddy\", secret = \"{secret}\"");
    cut_over(find("caddy"), caddy, &from(SECRET), &[&from("another secret"), "from = \"caddy\""]);
}
