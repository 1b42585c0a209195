//! Where compilers and runtimes of C# are.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// What tests/dotnet/toolchain says; none where something is not to be had.
pub fn toolchain(argument: Option<&str>, is_required: bool) -> Option<HashMap<String, PathBuf>> {
    let found = Command::new("tests/dotnet/toolchain")
        .args(argument)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&found.stderr);
    match found.status.code() {
        Some(0) => {
            let lines = String::from_utf8(found.stdout).expect("it is UTF-8");
            let places = lines.lines().filter_map(|line| line.split_once('='));
            Some(places.map(|(name, place)| (name.to_owned(), place.into())).collect())
        }
        Some(3) if !is_required => {
            println!("skipped: {}", said.trim());
            None
        }
        _ => panic!("tests/dotnet/toolchain: {said}"),
    }
}
