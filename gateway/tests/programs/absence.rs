//! What users see of absent programs: this suite, asked for the tests of etcd where the path leads to nothing.

use crate::support::test;
use std::process::{Command, Output};

fn without_programs(required: bool) -> Output {
    let nothing = tempfile::tempdir().expect("a temporary directory");
    let mut suite = Command::new(std::env::current_exe().expect("the path of this suite"));
    suite.arg("discovery::etcd").env("PATH", nothing.path()).env_remove("HOMING_REQUIRE_PROGRAMS");
    if required {
        suite.env("HOMING_REQUIRE_PROGRAMS", "1");
    }
    suite.output().expect("run this suite")
}

#[test]
fn a_test_without_its_program_is_ignored_and_the_first_line_says_what_is_absent() {
    let output = without_programs(false);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    let first = text.lines().next().expect("a line");
    let (names, command) = first.split_once("; ").expect("names and a command");
    assert!(names.starts_with("absent: ") && names.contains("etcd"), "{first}");
    assert!(command.contains("apt-get install ") && command.contains(" etcd-server"), "{first}");
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert!(count(" ... ignored") > 3 && count(" ... ok") == 0, "{text}");
    assert!(text.contains("etcd is not installed (etcd-server)"), "the reason: {text}");
    assert!(text.contains(" 0 passed; 0 failed; "), "{text}");
}

/// The control: where programs are required, absence fails.
#[test]
fn a_required_program_that_is_absent_fails_its_tests() {
    let output = without_programs(true);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!output.status.success() && text.contains("etcd is required and not installed"), "{text}");
}
