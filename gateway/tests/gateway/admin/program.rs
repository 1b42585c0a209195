//! The administration as the gateway serves it, and `homing status`.

use super::host::{code, json, request};
use crate::support::client::{Response, exchange, get};
use crate::support::gateway::{Gateway, config, run};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::visitor::Visitor;
use std::fs;
use std::net::{SocketAddr, TcpListener};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const JSON: &str = "Content-Type: application/json\r\n";

/// A port that is free for now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn ask(admin: SocketAddr, method: &str, target: &str, fields: &str) -> Response {
    exchange(admin, request(method, target, &format!("Host: {admin}\r\n{JSON}{fields}"), ""))
}

#[test]
fn the_gateway_is_watched_and_changed_and_every_change_is_in_its_log() {
    let upstreams = Upstream::several(2);
    let admin = free();
    let gateway = Gateway::start(&format!("[admin]\nlisten = \"{admin}\"\n"), &upstreams.iter().collect::<Vec<_>>());
    let mut visitors = Visitor::several(gateway.address(), 6);
    visitors.iter_mut().for_each(|visitor| drop(visitor.visit()));

    json(&ask(admin, "POST", "/api/v1/upstreams/app-1/drain", ""), 200);
    let newcomers = Visitor::several(gateway.address(), 6);
    for mut visitor in newcomers {
        assert_eq!(visitor.visit().text(), "app-2");
    }
    json(&ask(admin, "POST", "/api/v1/keys/rotate", ""), 200);
    json(&ask(admin, "DELETE", "/api/v1/upstreams/app-1", ""), 200);
    assert_eq!(
        code(&ask(admin, "DELETE", "/api/v1/upstreams/app-1", "Origin: http://evil.example\r\n"), 403),
        "cross_origin"
    );

    let audited = |gist: &[&str]| {
        until(&format!("audited: {gist:?}"), || {
            gateway
                .log()
                .lines()
                .any(|line| line.contains("homing::audit") && gist.iter().all(|gist| line.contains(gist)))
        });
    };
    audited(&["peer=127.0.0.1:", "action=\"drain\"", "app-1", "from=1 to=1"]);
    audited(&["action=\"rotate_keys\"", "from=1 to=2"]);
    audited(&["action=\"remove\"", "app-1", "from=2 to=3"]);
    audited(&["refused=\"cross_origin\""]);
    let lines = gateway.log().lines().filter(|line| line.contains("homing::audit")).count();
    assert_eq!(lines, 4, "one line each");
    assert_eq!(get(gateway.address(), "/metrics").text(), "app-2", "it is nowhere else");
}

#[test]
fn a_gateway_without_upstreams_waits_for_the_first_and_keeps_the_last() {
    let (upstream, admin) = (Upstream::named("app-1"), free());
    let gateway = Gateway::start(&format!("[admin]\nlisten = \"{admin}\"\n"), &[]);
    assert_eq!(get(gateway.address(), "/").status(), 503);
    let body = format!("{{\"address\":\"{}\"}}", upstream.address);
    let put = request("PUT", "/api/v1/upstreams/app-1", &format!("Host: {admin}\r\n{JSON}"), &body);
    json(&exchange(admin, put), 201);
    assert_eq!(get(gateway.address(), "/").text(), "app-1");
    assert_eq!(code(&ask(admin, "DELETE", "/api/v1/upstreams/app-1", ""), 409), "last_upstream");
    assert_eq!(get(gateway.address(), "/").text(), "app-1");
}

#[test]
fn rotation_reads_the_key_file_again() {
    let upstreams = Upstream::several(1);
    let directory = tempfile::tempdir().unwrap();
    let (folder, admin) = (directory.path().to_owned(), free());
    let text = config(&format!("[admin]\nlisten = \"{admin}\"\n"), &[&upstreams[0]]);
    let gateway = Gateway::within(directory, &text);
    let mut visitor = Visitor::new(gateway.address(), "v");
    visitor.visit();
    let keys = folder.join("homing.keys");
    let before = fs::read_to_string(&keys).unwrap();
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let after = before.replace("use = \"sign\"", "use = \"verify\"");
    let key = |purpose: &str| format!("{after}\n[[key]]\nid = 3\nsecret = \"{secret}\"\nuse = \"{purpose}\"\n");
    fs::write(&keys, key("sing")).unwrap();
    let refused = ask(admin, "POST", "/api/v1/keys/rotate", "");
    assert_eq!(code(&refused, 422), "keys");
    assert!(refused.text().contains("key[1].use") && !refused.text().contains(secret), "{}", refused.text());
    fs::write(&keys, key("sign")).unwrap();
    assert_eq!(json(&ask(admin, "POST", "/api/v1/keys/rotate", ""), 200)["signer"], 3);
    visitor.visit();
    assert_eq!(visitor.given, 2, "signed anew");
    visitor.visit();
    assert_eq!(visitor.given, 2);
}

#[test]
fn beyond_loopback_a_token_is_needed_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let upstreams = Upstream::several(1);
    let check = |table: &str| {
        fs::write(&file, config(table, &[&upstreams[0]])).unwrap();
        let output = run(directory.path(), &["check", "--config", "gateway.toml"]);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (valid, said) = check("[admin]\nlisten = \"0.0.0.0:9090\"\n");
    assert!(!valid && said.contains("gateway.toml:3:10: admin.listen: "), "{said}");
    let (valid, said) = check("[admin]\ntoken = \"x\"\n");
    assert!(!valid && said.contains("gateway.toml:3:1: admin.token: "), "{said}");
    let open = "[admin]\nlisten = \"0.0.0.0:9090\"\ntoken_file = \"admin.token\"\n";
    let (valid, said) = check(open);
    assert!(!valid && said.contains("admin.token: can't be read"), "{said}");
    fs::write(directory.path().join("admin.token"), "short\n").unwrap();
    let (valid, said) = check(open);
    assert!(!valid && said.contains("has 5 characters") && !said.contains("short"), "{said}");
    fs::write(directory.path().join("admin.token"), format!("{TOKEN}\n")).unwrap();
    assert!(check(open).0);
    assert!(check("[admin]\n").0, "loopback needs none");
}

#[test]
fn status_prints_the_table() {
    let upstreams = Upstream::several(2);
    let (folder, admin) = (tempfile::tempdir().unwrap(), free());
    let token = folder.path().join("admin.token");
    fs::write(&token, TOKEN).unwrap();
    let table = format!("[admin]\nlisten = \"{admin}\"\ntoken_file = {token:?}\n");
    let gateway = Gateway::start(&table, &upstreams.iter().collect::<Vec<_>>());
    Visitor::new(gateway.address(), "v").visit();
    let at = admin.to_string();
    let status = |more: &[&str]| {
        let output = run(folder.path(), &[&["status", "--admin", &*at], more].concat());
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        (output.status.success(), out, err)
    };
    let (done, out, _) = status(&["--token-file", "admin.token"]);
    assert!(done, "{out}");
    for url in [format!("http://{admin}"), format!("http://localhost:{}/", admin.port())] {
        let output = run(folder.path(), &["status", "--admin", &url, "--token-file", "admin.token"]);
        assert!(output.status.success(), "{url}: {output:?}");
    }
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("UPSTREAM  ADDRESS"), "{out}");
    let first = lines.iter().find(|line| line.starts_with("app-1 ")).unwrap();
    assert!(first.contains(&upstreams[0].address.to_string()) && first.contains("active"), "{out}");
    assert_eq!(lines.len(), 4, "{out}");

    let (done, out, _) = status(&["--token-file", "admin.token", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(done && json["upstreams"][1]["name"] == "app-2", "{out}");
    let (done, out, err) = status(&[]);
    assert!(!done && out.is_empty() && err.contains("401") && err.contains("Authorization: Bearer"), "{err}");
    drop(gateway);
    let (done, _, err) = status(&[]);
    assert!(!done && err.contains("is the gateway running"), "{err}");
}
