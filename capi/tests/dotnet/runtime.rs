//! The two runtimes, and the programs that are compiled for them.

use super::build;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runtime {
    /// And so the sources as .NET Framework takes them: netstandard2.0, C# 7.
    Mono,
    /// .NET 8.
    Net,
}

/// What was compiled for a runtime: where it is, and how a program is started.
pub struct Compiled {
    pub runtime: Runtime,
    pub directory: PathBuf,
    /// The `dotnet` host; none for Mono, which is on the path.
    pub host: Option<PathBuf>,
}

/// Those that are to be had here.
pub fn runtimes() -> impl Iterator<Item = &'static Compiled> {
    static MONO: OnceLock<Option<Compiled>> = OnceLock::new();
    static NET: OnceLock<Option<Compiled>> = OnceLock::new();
    let both = [MONO.get_or_init(build::mono), NET.get_or_init(build::net)];
    both.into_iter().flatten()
}

impl Compiled {
    /// A program that is ready to run, with the native library where both runtimes look.
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

    /// What the test program writes, given `arguments` and `input`. It has to end well.
    pub fn tests(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.program("Tests");
        // A small first generation keeps what is free from looking like what is leaked.
        command.args(arguments).env("DOTNET_GCgen0size", "200000");
        finish(&mut command, input).unwrap_or_else(|failed| panic!("{:?} {arguments:?}: {failed}", self.runtime))
    }
}

/// What `command` writes to its standard output, or both its outputs where it fails.
pub fn finish(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // Apart, since it may write before it has read all.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(|error| error.to_string())?;
    let written = writer.join().expect("the writer does not panic");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    match (status.success(), written) {
        (true, Ok(())) => Ok(stdout.into_owned()),
        (_, written) => Err(format!("{status}, {written:?}\n{stdout}\n{stderr}")),
    }
}
