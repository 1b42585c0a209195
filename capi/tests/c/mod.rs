//! The C library as C sees it: installed by `capi/install`, its symbols, numbers and types frozen, and programs of C
//! that use and misuse all of it, as C99, C11 and C++17, under AddressSanitizer and under valgrind.
//!
//! `HOMING_BLESS=1 cargo test --features ffi --test c frozen` writes the frozen files anew, where something was added
//! on purpose. Where something was changed or removed, programs that run today break: then raise
//! `HOMING_ABI_VERSION` and the package's major version, which is the library's soname.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reads the environment, and fails by a panic"
)]

mod abi;
mod frozen;
mod library;
mod programs;
