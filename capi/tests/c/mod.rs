//! The C library as C sees it: installed by `capi/install`, its symbols, numbers and types frozen, and programs of C
//! that use and misuse all of it, as C99, C11 and C++17, under AddressSanitizer and under valgrind.
//!
//! `HOMING_BLESS=1 cargo test -p homing-capi c::frozen` writes the frozen files anew, where something was added
//! on purpose. Where something was changed or removed, programs that run today break: then raise
//! `HOMING_ABI_VERSION` and the package's major version, which is the library's soname.

mod abi;
mod frozen;
mod library;
mod programs;
