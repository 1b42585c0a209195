//! The C ABI, held against its header and driven through its functions.
//!
//! `HOMING_BLESS=1 cargo test --features ffi --test ffi header` writes the header anew, after a change of `src/ffi/`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "a test calls what C calls, reads the environment, and fails by a panic"
)]

mod calls;
mod header;
