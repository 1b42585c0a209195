//! Where compilers and runtimes of C# are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The output of capi/tests/dotnet/toolchain; none where something is not available.
pub fn toolchain(argument: Option<&str>, is_required: bool) -> Option<HashMap<String, PathBuf>> {
    // Whichever package of the workspace this is compiled into.
    let script = |root: &Path| root.join("capi/tests/dotnet/toolchain");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(script).find(|script| script.is_file());
    let found = Command::new(script.expect("the checkout")).args(argument).output().expect("bash runs");
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
        _ => panic!("capi/tests/dotnet/toolchain: {said}"),
    }
}
