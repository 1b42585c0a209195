//! The binding itself: every member, misuse, leaks.

use super::build;
use super::runtime::{Compiled, Runtime, finish, runtimes};
use crate::support::test;
use std::process::Command;

#[test]
fn every_member_does_what_it_says() {
    for compiled in runtimes() {
        let report = compiled.tests(&["units"], "");
        let summary = report.lines().last().expect("it says how many");
        println!("{:?}: {summary}", compiled.runtime);
        assert!(summary.ends_with(" passed, 0 failed") && report.lines().count() > 40, "{report}");
    }
}

/// Requests still in flight, and the growth of memory in KiB.
fn leaked(report: &str) -> (u64, i64) {
    let number = |after: &str| {
        let rest = report.split_once(after).unwrap_or_else(|| panic!("{after} in {report}")).1;
        rest.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty()).unwrap().parse::<i64>().unwrap()
    };
    (number("in flight") as u64, number("after") - number("before"))
}

/// The growth that is attributed to the runtime: 8 MiB are 80 bytes for each pick.
const TOLERANCE_KIB: i64 = 8 * 1024;

#[test]
fn nothing_is_left_of_a_hundred_thousand_picks() {
    for compiled in runtimes() {
        let report = compiled.tests(&["leak", "100000"], "");
        println!("{:?}: {}", compiled.runtime, report.trim());
        let (in_flight, grown) = leaked(&report);
        assert_eq!(in_flight, 0, "{:?}", compiled.runtime);
        assert!(grown < TOLERANCE_KIB, "{:?}: {report}", compiled.runtime);
    }
}

#[test]
fn a_leak_would_be_seen() {
    for compiled in runtimes() {
        let (in_flight, grown) = leaked(&compiled.tests(&["leak", "100000", "planted"], ""));
        assert!(in_flight > 0, "{:?}: leases that are never finished", compiled.runtime);
        assert!(grown > TOLERANCE_KIB, "{:?}: 128 bytes a pick, {grown} KiB", compiled.runtime);
    }
}

/// The test program, copied to a directory of its own, without a hint where the library is.
fn alone(compiled: &Compiled, directory: &std::path::Path) -> Command {
    for file in ["Homing.dll", "Tests.dll", "Tests.exe", "Tests.runtimeconfig.json"] {
        let from = compiled.directory.join(file);
        if from.exists() {
            std::fs::copy(from, directory.join(file)).unwrap();
        }
    }
    let mut command = Command::new(compiled.host.as_deref().unwrap_or("mono".as_ref()));
    let program = if compiled.host.is_some() { "Tests.dll" } else { "Tests.exe" };
    // Cargo sets it to the directory where it builds libraries.
    command.env_remove("LD_LIBRARY_PATH");
    command.arg(directory.join(program)).args(["leak", "100"]);
    command
}

#[test]
fn the_library_is_found_where_it_belongs() {
    let library = build::library_directory().join("libhoming.so");
    for compiled in runtimes() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = alone(compiled, directory.path());
        let failed = finish(&mut command, "").unwrap_err();
        assert!(failed.contains("DllNotFoundException"), "{:?}: {failed}", compiled.runtime);
        if compiled.runtime == Runtime::Net {
            finish(alone(compiled, directory.path()).env("HOMING_LIBRARY", &library), "").unwrap();
            let packed = directory.path().join("runtimes/linux-x64/native");
            std::fs::create_dir_all(&packed).unwrap();
            std::fs::copy(&library, packed.join("libhoming.so")).unwrap();
            finish(&mut alone(compiled, directory.path()), "").unwrap();
            std::fs::remove_dir_all(packed).unwrap();
        }
        std::fs::copy(&library, directory.path().join("libhoming.so")).unwrap();
        finish(&mut alone(compiled, directory.path()), "").unwrap();
    }
}
