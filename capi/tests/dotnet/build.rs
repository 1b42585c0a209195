//! Compiles the C# sources, once a run, below target/dotnet.

use super::runtime::{Compiled, Runtime, finish};
use crate::c::library::prefix;
use crate::root;
use crate::support::toolchain::toolchain;
use std::path::{Path, PathBuf};
use std::process::Command;

fn output() -> PathBuf {
    // CARGO_TARGET_TMPDIR is target/tmp.
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("dotnet")
}

fn run(command: &mut Command) -> String {
    finish(command.current_dir(root()), "").unwrap_or_else(|failed| panic!("{command:?}: {failed}"))
}

/// Where libhoming.so is, as its users install it.
pub fn library_directory() -> PathBuf {
    prefix().join("lib")
}

fn sources(directories: &[&str]) -> Vec<PathBuf> {
    let mut sources: Vec<PathBuf> = directories
        .iter()
        .flat_map(|directory| root().join(directory).read_dir().expect("it is there"))
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cs"))
        .collect();
    sources.sort();
    sources
}

const BINDING: &[&str] = &["examples/dotnet/Homing"];
const PROGRAMS: &[(&str, &[&str])] = &[
    ("Gateway", &["examples/dotnet/Gateway"]),
    ("Bench", &["examples/dotnet/Bench"]),
    ("Tests", &["capi/tests/dotnet/Tests"]),
];

pub fn mono() -> Result<Compiled, String> {
    toolchain(Some("mono"))?;
    let directory = output().join("mono");
    std::fs::create_dir_all(&directory).expect("a directory");
    let binding = directory.join("Homing.dll");
    let compile = |out: &Path| {
        let mut mcs = Command::new("mcs");
        mcs.args(["-warnaserror", "-unsafe"]).arg(format!("-out:{}", out.display()));
        mcs
    };
    let documentation = format!("-doc:{}", directory.join("Homing.xml").display());
    run(compile(&binding).args(["-target:library", &documentation]).args(sources(BINDING)));
    for (name, directories) in PROGRAMS {
        let reference = format!("-r:{}", binding.display());
        let out = directory.join(name).with_extension("exe");
        run(compile(&out).args([&reference, "-r:System.Net.Http.dll"]).args(sources(directories)));
    }
    Ok(Compiled { runtime: Runtime::Mono, directory, host: None })
}

pub fn net() -> Result<Compiled, String> {
    let tools = toolchain(None)?;
    let directory = output().join("net");
    std::fs::create_dir_all(&directory).expect("a directory");
    let binding = directory.join("Homing.dll");
    let compile = |out: &Path| {
        let mut csc = Command::new(&tools["python"]);
        csc.arg("capi/tests/dotnet/csc.py").arg("--roslyn").arg(&tools["roslyn"]).arg("--out").arg(out);
        csc.args(["--define", "NET"]);
        csc
    };
    run(compile(&binding).arg("--library").args(sources(BINDING)));
    for (name, directories) in PROGRAMS {
        run(compile(&directory.join(name).with_extension("dll"))
            .arg("--reference")
            .arg(&binding)
            .args(sources(directories)));
    }
    let yarp = ["examples/dotnet/Yarp", "capi/tests/dotnet/Yarp"];
    let mut modern = compile(&directory.join("Yarp.dll"));
    modern.args(["--langversion", "12", "--nullable", "--reference"]).arg(&binding);
    run(modern.args(sources(&yarp)));
    Ok(Compiled { runtime: Runtime::Net, directory, host: Some(tools["dotnet"].join("dotnet")) })
}
