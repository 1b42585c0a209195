//! The C ABI of Homing: what `include/homing.h` declares, in `libhoming.so` and `libhoming.a`.
//!
//! The crate translates between C and the library `homing`: pointers, handles and status numbers on one side, borrowed
//! values and results on the other. It decides nothing about requests itself. It opens no socket and starts no thread;
//! the only files that it reads are key files.
//!
//! The header is generated from this crate by cbindgen, in a test, so the comments on exported items are for C
//! programmers. Its introduction, with the conventions of all functions, is in `cbindgen.toml`.
//!
//! # What always holds
//!
//! - **Nothing that C passes is trusted.** A handle is a number with a kind and a serial number that no other handle of
//!   its kind has had (`registry`), so that a stale one is an error status; with pointers it could not be detected.
//!   Pointers are dereferenced in `memory` alone, which checks for NULL, alignment, lengths and sizes of structs.
//! - **Outputs are written when nothing can fail any more.** An error leaves them as they were, but for the length that
//!   a buffer that is too small would need.
//! - **No panic crosses the boundary** (`boundary`). It becomes `HOMING_ERR_PANIC`, and the next call works.
//! - **There is no state but handles, the log function, and each thread's last error.** No thread, no timer and no
//!   lazily created global, so that a process may fork after it has built its balancer.
//! - **A lookup of a handle is one wait-free load.** Leases are in slabs sharded by thread: two locks a request, which
//!   other threads rarely want (`leases`).
//! - **Numbers are never reused.** Statuses, decisions, states and flags keep their meaning; structs grow at their end,
//!   and begin with their size. `capi/tests/c` freezes symbols, numbers and types.
//!
//! No function takes a host's own load figures. A host that chooses the upstream says which ones are `eligible`, or
//! counts what it chose by `homing_lease()`, and policies see that.
//!
//! For a session with an open tunnel a host learns the drain deadline (`homing_departure()`), but it cannot guard the
//! session: while no request comes, the session stops counting as live.
//!
//! # Files, in reading order
//!
//! | file | holds |
//! |---|---|
//! | `constants` | the numbers that cross the boundary |
//! | `memory` | the host's pointers: inputs, outputs, structs, buffers |
//! | `registry`, `leases` | handles |
//! | `boundary`, `failure` | panics and errors, and the status of each |
//! | `sink`, `log` | the host's log function |
//! | `keyring`, `config`, `config_options`, `balancer`, `plan`, `events` | one kind of handle each |
//! | `request`, `pick` | a request, and where it goes |
//! | `steps`, `cookies` | the steps of a pick as single calls, for hosts that choose or set cookies themselves |
//! | `health` | outcomes, probes, drains, and time |
//! | `upstream_status` | the state of the upstreams, as numbers and as JSON |
//! | `version` | versions, names, the last error |

#![allow(non_camel_case_types, reason = "the names are those of C")]
#![allow(unsafe_code, reason = "the memory of the host is reached by pointers")]

mod balancer;
mod boundary;
mod config;
mod config_options;
mod constants;
mod cookies;
mod events;
mod failure;
mod health;
mod keyring;
mod leases;
mod log;
mod memory;
mod pick;
mod plan;
mod registry;
mod request;
mod sink;
mod steps;
mod upstream_status;
mod version;

#[cfg(test)]
mod tests;

pub use balancer::*;
pub use config::*;
pub use config_options::*;
pub use constants::*;
pub use cookies::*;
pub use events::*;
pub use health::*;
pub use keyring::*;
pub use log::*;
pub use pick::*;
pub use plan::*;
pub use registry::homing_handle;
pub use request::*;
pub use sink::{HOMING_LOG_ERROR, HOMING_LOG_INFO, HOMING_LOG_WARN, homing_log_fn};
pub use steps::*;
pub use upstream_status::*;
pub use version::*;
