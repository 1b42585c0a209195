//! The agents of examples/agents as their users run them: beside an instance, for a gateway that is started and killed. What is
//! not to be had here (Mono, .NET) skips with a printed line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts programs, reads the environment, and fails by a panic"
)]

#[allow(dead_code, reason = "the tests of the gateway need more of it")]
#[path = "../support/mod.rs"]
mod support;

#[path = "../../capi/tests/dotnet/toolchain.rs"]
mod toolchain;

mod dotnet;
mod fleet;
mod process;
mod shell;
