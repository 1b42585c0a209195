//! Tests with other programs: placements compared with nginx and HAProxy, the guides' configurations run by them, their
//! cookies migrated, upstreams from etcd, the dashboard in a browser.
//!
//! A test whose program is absent is reported as ignored, with the reason: see `homing_test_support::harness`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts programs, reads the environment, and fails by a panic"
)]

use homing_test_support as support;

mod absence;
mod admin;
mod browser;
mod discovery;
mod guides;
mod legacy_cookies;
mod oracles;

/// The programs that these tests need.
const PROGRAMS: [&str; 13] = [
    "caddy",
    "chromedriver",
    "chromium",
    "curl",
    "etcd",
    "groff",
    "hadolint",
    "haproxy",
    "nginx",
    "promtool",
    "schemathesis",
    "systemd-analyze",
    "traefik",
];

fn main() -> std::process::ExitCode {
    support::harness::main(&PROGRAMS)
}
