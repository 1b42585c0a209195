//! Configuration errors name file and line, and a reload with an error changes nothing.

use crate::support::test;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::server::{Nginx, Setup, check, servers};
use crate::support::client::get;
use crate::support::upstream::Upstream;

/// The line on which `upstream {}` begins.
const LINE: &str = "in ./nginx.conf:16";

fn with(directive: &str) -> Setup {
    Setup::of(format!("{directive} server 127.0.0.1:9; server 127.0.0.1:10 backup;"))
}

#[test]
fn errors_name_file_and_line() {
    for (directive, said) in [
        ("homing;", "invalid number of arguments"),
        ("homing policy=p2c;", "key_file"),
        ("homing key_file=homing.keys policy;", "\"policy\" is not of the form NAME=VALUE"),
        ("homing key_file=homing.keys policy=fastest;", "policy.name: "),
        ("homing key_file=homing.keys policy=ip_hash policy.prefix=24;", "policy.prefix: "),
        ("homing key_file=homing.keys max_age=soon;", "affinity.max_age: "),
        ("homing key_file=homing.keys max_age=1h idle=2h;", "affinity.idle: "),
        ("homing key_file=homing.keys 'cookie=a b';", "affinity.cookie: "),
        ("homing key_file=homing.keys cookie=__Host-a;", "affinity.cookie: "),
        ("homing key_file=homing.keys secure=sometimes;", "affinity.secure: "),
        ("homing key_file=homing.keys colour=red;", "affinity.colour: "),
        ("homing key_file=homing.keys path=\"/'\";", "affinity.path: "),
        ("homing key_file=no/such/folder/homing.keys;", "no/such/folder/homing.keys"),
        ("homing key_file=nginx.conf;", "nginx.conf"),
        ("homing key_file=homing.keys key=$nothing_known policy=hash;", "unknown \"nothing_known\" variable"),
        ("homing key_file=homing.keys; homing key_file=homing.keys;", "\"homing\" directive is duplicate"),
        ("homing key_file=homing.keys; server 127.0.0.1:9;", "\"127.0.0.1:9\" is used twice"),
        ("homing key_file=homing.keys; server unix:/a\tb;", "invalid parameter"),
    ] {
        let Some((taken, output)) = check(&with(directive)) else { return };
        assert!(!taken, "{directive} is taken");
        let line = output.lines().find(|line| line.contains(said));
        let line = line.unwrap_or_else(|| panic!("{directive}: nothing of {said:?} in {output}"));
        assert!(line.contains("[emerg]"), "{line}");
        assert!(said.starts_with("unknown") || line.contains(LINE), "{line}");
        assert!(!line.contains("configuration:"), "{line}");
    }
}

/// The control: a valid configuration is accepted.
#[test]
fn a_valid_configuration_is_accepted() {
    for directive in [
        "homing key_file=homing.keys;",
        "homing key_file=homing.keys policy=ip_hash policy.prefix_v4=16 policy.prefix_v6=64;",
        "homing key_file=homing.keys policy=least_sessions cookie=__Host-a secure=always max_age=2h idle=10m live_window=64s;",
        "zone app 256k; homing key_file=homing.keys; server unix:/tmp/none max_conns=3; server localhost; keepalive 4;",
    ] {
        let Some((taken, output)) = check(&with(directive)) else { return };
        assert!(taken, "{directive}: {output}");
    }
}

#[test]
fn a_key_file_that_others_can_read_is_warned_of() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("homing.keys");
    let setup = with(&format!("homing key_file={};", keys.display()));
    let Some((_, output)) = check(&setup) else { return };
    assert!(!output.contains("[warn]"), "{output}");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).expect("change its mode");
    let Some((taken, output)) = check(&setup) else { return };
    assert!(taken && output.contains("[warn]") && output.contains("homing.keys"), "{output}");
}

/// Without `homing` in any upstream, the module does nothing.
#[test]
fn the_module_does_nothing_without_the_directive() {
    let Some(nginx) = Nginx::start(&Setup::of("server 127.0.0.1:9;")) else { return };
    assert_eq!(nginx.status()["upstreams"], serde_json::json!({}));
    assert_eq!(nginx.complaints(), [""; 0]);
}

#[test]
fn a_reload_with_an_error_changes_nothing() {
    let upstreams = Upstream::several(2);
    let good = Setup::of(format!("homing key_file=homing.keys; {}", servers(&upstreams)));
    let Some(mut nginx) = Nginx::start(&good) else { return };
    let workers = nginx.workers();
    let said = nginx.refuse(&with("homing key_file=homing.keys policy=fastest;"));
    assert!(said.contains("policy.name") && said.contains(LINE), "{said}");
    assert_eq!(get(nginx.address, "/").status(), 200);
    assert_eq!(nginx.workers(), workers);
    nginx.change(&good);
    assert_ne!(nginx.workers(), workers);
    assert_eq!(get(nginx.address, "/").status(), 200);
}
