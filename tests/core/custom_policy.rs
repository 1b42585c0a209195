//! `examples/custom_policy.rs`, as a user runs it.

use std::process::Command;

#[test]
fn the_example_places_sessions_in_its_own_zone_while_it_can() {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/custom_policy");
    let output = Command::new(&program)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; cargo build --examples", program.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let placed: Vec<_> = lines.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    // Two requests each is the limit, and then both are drained.
    assert_eq!(placed, ["eu-1", "eu-2", "eu-1", "eu-2", "us-1", "us-2", "us-1"], "{lines}");
}
