//! Where compilers and runtimes of C# are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What capi/tests/dotnet/toolchain says, given `mono` or nothing; or why something is not to be had.
///
/// Mono is a package of Debian, and so required where the environment has `HOMING_REQUIRE_PROGRAMS`.
pub fn toolchain(argument: Option<&str>) -> Result<HashMap<String, PathBuf>, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../capi/tests/dotnet/toolchain");
    let found = Command::new(script).args(argument).output().expect("bash runs");
    let said = String::from_utf8_lossy(&found.stderr);
    let is_required = argument == Some("mono") && std::env::var_os("HOMING_REQUIRE_PROGRAMS").is_some();
    match found.status.code() {
        Some(0) => {
            let lines = String::from_utf8(found.stdout).expect("it is UTF-8");
            let places = lines.lines().filter_map(|line| line.split_once('='));
            Ok(places.map(|(name, place)| (name.to_owned(), place.into())).collect())
        }
        Some(3) if !is_required => Err(said.trim().replace('\n', "; ")),
        _ => panic!("capi/tests/dotnet/toolchain: {said}"),
    }
}
