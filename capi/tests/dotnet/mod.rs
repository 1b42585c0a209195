//! C# over the C library, as its users run it: the binding of examples/dotnet, its gateway and its policies for YARP, compiled
//! and run under Mono and under .NET 8. `tests/dotnet/toolchain` says where the compilers and runtimes are from; where one is
//! not to be had, its tests skip with a printed line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts programs, reads the environment, and fails by a panic"
)]

mod agreement;
mod binding;
mod build;
mod gateway;
mod readme;
mod runtime;
mod toolchain;
mod upstream;
mod yarp;
