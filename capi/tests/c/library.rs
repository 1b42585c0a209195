//! The library, built and installed once for all hosts, and the C compilers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::root;
use crate::support::program::is_here;

/// Ends a program that hangs. No test measures time by it.
const GUARD_SECONDS: &str = "600";

/// Whether all of these programs are there. Without one the test is reported as ignored.
pub fn have(programs: &[&str]) -> bool {
    programs.iter().all(|name| is_here(name))
}

pub fn header() -> PathBuf {
    root().join("include/homing.h")
}

/// A directory for what tests build.
pub fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("c")
}

/// The prefix that the library is installed in: with the feature plant-panic, see [`PLANTED`].
pub fn prefix() -> &'static Path {
    static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| {
        let prefix = scratch().join("prefix");
        let mut install = Command::new(root().join("capi/install"));
        install
            .args(["--quiet", "--features", "plant-panic"])
            .env("PREFIX", &prefix)
            .env("PROFILE", "dev")
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory"))
            .env_remove("DESTDIR")
            .env_remove("LIBDIR")
            .env_remove("INCLUDEDIR");
        run(&mut install);
        prefix
    });
    &PREFIX
}

/// The macro by which the header declares `homing_plant_panic()`.
pub const PLANTED: &str = "-DHOMING_PLANT_PANIC";

/// What it prints, where it succeeds.
pub fn run(command: &mut Command) -> String {
    let (succeeded, output) = attempt(command);
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(succeeded, "{command:?}: {}\n{text}\n{errors}", output.status);
    text.into_owned()
}

/// Whether it succeeds, and what it prints.
pub fn attempt(command: &mut Command) -> (bool, Output) {
    let mut guarded = Command::new("timeout");
    guarded.arg(GUARD_SECONDS).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(key, value),
            None => guarded.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        guarded.current_dir(directory);
    }
    let output = guarded.output().expect("run a program");
    (output.status.success(), output)
}

/// A standard of C or C++, as its compiler calls it.
#[derive(Clone, Copy)]
pub struct Standard(pub &'static str);

impl Standard {
    pub fn compiler(self) -> &'static str {
        if self.0.starts_with("c++") { "g++" } else { "gcc" }
    }

    /// The compiler for sources in C, whatever it makes of them, and without a warning.
    pub fn compile(self) -> Command {
        let mut command = Command::new(self.compiler());
        command.args(if self.compiler() == "g++" { ["-x", "c++"] } else { ["-x", "c"] });
        command.arg(format!("-std={}", self.0)).args(["-Wall", "-Wextra", "-Werror", "-pedantic"]);
        command
    }
}
