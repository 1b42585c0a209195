//! What needs other programs: placements asked of nginx and HAProxy, the guides' configurations run by them, cookies that
//! they set taken over, and the dashboard in a browser.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test starts programs, reads the environment, and fails by a panic"
)]

use homing_test_support as support;

mod browser;
mod guides;
mod legacy_cookies;
mod oracles;
