//! The JSON of `homing_status`, and the symbols that the module exports.

use crate::support::test;
use std::process::Command;

use super::server::{Nginx, Setup, module, servers};
use crate::support::client::{exchange, get, request};
use crate::support::upstream::Upstream;

#[test]
fn a_worker_tells_its_counts() {
    let upstreams = Upstream::several(2);
    let homing = "homing key_file=homing.keys policy=peak_ewma;";
    let mut setup = Setup::of(format!("{homing} {}", servers(&upstreams)));
    setup.http += &format!(" upstream other {{ homing key_file=homing.keys; server {}; }}", upstreams[0].address);
    setup.workers = 1;
    let Some(nginx) = Nginx::start(&setup) else { return };
    for _ in 0..20 {
        assert_eq!(get(nginx.address, "/").status(), 200);
    }
    let status = nginx.status();
    assert_eq!(status["worker"], nginx.workers()[0]);
    let names: Vec<_> = status["upstreams"].as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, ["app", "other"]);
    let app = status["upstreams"]["app"]["upstreams"].as_array().expect("a list");
    for (upstream, status) in upstreams.iter().zip(app) {
        assert_eq!(status["name"], upstream.address.to_string());
        assert_eq!(status["requests"], upstream.seen().len());
        assert_eq!(status["decided"]["new"], upstream.seen().len());
        assert_eq!(status["in_flight"], 0);
        assert!(upstream.seen().is_empty() || status["latency_us"].as_u64() > Some(0), "{status}");
    }
    let sessions = |status: &serde_json::Value| status["live_sessions"].as_u64().expect("a count");
    assert!((19..=21).contains(&app.iter().map(sessions).sum::<u64>()), "{app:?}");
    let head = exchange(nginx.address, request("HEAD", "/status", ""));
    assert_eq!((head.status(), head.text()), (200, String::new()));
}

/// The module exports what nginx looks for, and nothing of the library: another module may contain another copy.
#[test]
fn nothing_but_the_module_is_exported() {
    let Some(module) = module() else { return };
    let listed = Command::new("nm").args(["-D", "--defined-only"]).arg(&module).output().expect("run nm");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let mut symbols: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    symbols.sort_unstable();
    assert_eq!(symbols, ["ngx_http_upstream_homing_module", "ngx_module_names", "ngx_module_order", "ngx_modules"]);
}
