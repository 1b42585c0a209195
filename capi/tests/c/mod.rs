//! The C library, installed by `capi/install`: its symbols, numbers and types are frozen, and programs in C use and
//! misuse all of it, as C99, C11 and C++17, under AddressSanitizer and under valgrind.
//!
//! `HOMING_BLESS=1 cargo test -p homing-capi c::frozen` updates the frozen files after an addition. A change or a
//! removal breaks existing programs: then raise
//! `HOMING_ABI_VERSION` and the package's major version, which is the library's soname.

mod abi;
mod frozen;
pub mod library;
mod programs;
