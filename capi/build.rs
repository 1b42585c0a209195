//! Gives `libhoming.so` its soname, by which programs that are linked with it find it: `libhoming.so.MAJOR`.

#![allow(clippy::disallowed_methods, reason = "cargo tells a build script by the environment what it builds for")]

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| var(key).is_ok_and(|found| found == value);
    // Elsewhere there is no soname, or the linker spells it otherwise.
    let is_elf = is("CARGO_CFG_TARGET_FAMILY", "unix") && !is("CARGO_CFG_TARGET_VENDOR", "apple");
    if let (true, Ok(major)) = (is_elf, var("CARGO_PKG_VERSION_MAJOR")) {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libhoming.so.{major}");
    }
}
