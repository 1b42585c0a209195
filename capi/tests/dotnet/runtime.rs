//! The two runtimes, and the programs that are compiled for them.

use super::build;
use crate::support::harness;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runtime {
    /// It compiles the sources as for .NET Framework: netstandard2.0, C# 7.
    Mono,
    /// .NET 8.
    Net,
}

/// The compiled programs of a runtime.
pub struct Compiled {
    pub runtime: Runtime,
    pub directory: PathBuf,
    /// The `dotnet` host; none for Mono, which is on the path.
    pub host: Option<PathBuf>,
}

/// The runtimes that are available. Without one of them the test is reported as ignored, though the other passes it.
pub fn runtimes() -> impl Iterator<Item = &'static Compiled> {
    static MONO: OnceLock<Result<Compiled, String>> = OnceLock::new();
    static NET: OnceLock<Result<Compiled, String>> = OnceLock::new();
    let both = [MONO.get_or_init(build::mono), NET.get_or_init(build::net)];
    both.into_iter().filter_map(|runtime| runtime.as_ref().map_err(|reason| harness::ignore(reason.clone())).ok())
}

impl Compiled {
    /// A program, ready to run, with the native library where both runtimes search it.
    pub fn program(&self, name: &str) -> Command {
        let mut command = match &self.host {
            None => {
                let mut mono = Command::new("mono");
                mono.arg(self.directory.join(name).with_extension("exe"));
                mono
            }
            Some(host) => {
                let mut dotnet = Command::new(host);
                dotnet.arg(self.directory.join(name).with_extension("dll"));
                dotnet
            }
        };
        command.env("LD_LIBRARY_PATH", build::library_directory());
        command
    }

    /// The output of the test program, given `arguments` and `input`. It has to succeed.
    pub fn tests(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.program("Tests");
        // With a small first generation, memory that is free but not yet collected does not look like a leak.
        command.args(arguments).env("DOTNET_GCgen0size", "200000");
        finish(&mut command, input).unwrap_or_else(|failed| panic!("{:?} {arguments:?}: {failed}", self.runtime))
    }
}

/// The standard output of `command`, or both its outputs if it fails.
pub fn finish(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // In a thread of its own, because the program may write before it has read all input.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(|error| error.to_string())?;
    let written = writer.join().expect("the writer does not panic");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    match (status.success(), written) {
        (true, Ok(())) => Ok(stdout.into_owned()),
        (_, written) => Err(format!("{status}, {written:?}\n{stdout}\n{stderr}")),
    }
}
