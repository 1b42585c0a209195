//! The C ABI as its hosts see it: its header, programs in C, the C# binding, the nginx module.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts programs and threads, reads the environment, and fails by a panic"
)]

use homing_test_support as support;

mod c;
mod dotnet;
mod header;
mod nginx;

use std::path::Path;

/// The checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// What these tests need.
const PROGRAMS: [&str; 13] = [
    "abidiff",
    "abidw",
    "g++",
    "gcc",
    "make",
    "mcs",
    "mono",
    "/usr/lib/mono/4.5/System.Net.Http.dll",
    "nginx",
    "/usr/share/nginx/src/configure",
    "nm",
    "pkg-config",
    "valgrind",
];

fn main() -> std::process::ExitCode {
    support::harness::main(&PROGRAMS)
}
