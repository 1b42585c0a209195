//! The paths of C# compilers and runtimes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The output of `capi/tests/dotnet/toolchain` with the argument `mono` or none; an error says what is not installed.
///
/// Debian packages Mono, so it is required if `HOMING_REQUIRE_PROGRAMS` is set.
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
