//! HomingAgent.cs under Mono, and so as .NET Framework takes it, and under .NET 8.

use super::fleet::Fleet;
use super::process::{Process, run};
use crate::support::harness;
use crate::support::test;
use crate::support::toolchain::toolchain;
use std::path::Path;
use std::process::Command;

const SOURCES: [&str; 2] = ["examples/agents/dotnet/HomingAgent.cs", "gateway/tests/faults/agents/Instance.cs"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Compiles the instance into `folder`; the command that runs it.
fn mono(folder: &Path) -> Option<Command> {
    toolchain(Some("mono")).map_err(harness::ignore).ok()?;
    let program = folder.join("Instance.exe");
    let mut compile = Command::new("mcs");
    compile.current_dir(root()).args(["-warnaserror", "-r:System.Net.Http.dll"]);
    run(compile.arg(format!("-out:{}", program.display())).args(SOURCES));
    let mut command = Command::new("mono");
    command.arg(program);
    Some(command)
}

fn net(folder: &Path) -> Option<Command> {
    let tools = toolchain(None).map_err(harness::ignore).ok()?;
    let program = folder.join("Instance.dll");
    let mut compile = Command::new(&tools["python"]);
    compile.current_dir(root()).arg("capi/tests/dotnet/csc.py").arg("--roslyn").arg(&tools["roslyn"]);
    run(compile.arg("--out").arg(&program).args(SOURCES));
    let mut command = Command::new(tools["dotnet"].join("dotnet"));
    command.arg(program);
    Some(command)
}

fn comes_is_seen_and_goes(command: impl Fn(&Path) -> Option<Command>) {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = command(folder.path()) else { return };
    let mut fleet = Fleet::start();
    command.args(["app-9", &fleet.admin(), "3"]).arg(fleet.token());

    let mut instance = Process::start(&mut command);
    let address = instance.line();
    fleet.accepts_it(&address);
    assert!(!fleet.shows_token(instance.id()));
    // The gateway has lost the registration, and gets it again.
    fleet.restart();
    fleet.accepts_it(&address);
    instance.write("0");
    assert!(instance.wait().success(), "{}", instance.said());
    assert!(fleet.listed().is_none(), "gone by the time that it ends");

    // It returns at another address, and is removed when no session is left.
    let mut instance = Process::start(&mut command);
    let address = instance.line();
    fleet.until("it is back", |told| told["state"] == "active" && told["address"] == address);
    instance.write("600");
    assert!(instance.wait().success(), "{}", instance.said());
    assert!(fleet.listed().is_none());

    let instance = Process::start(&mut command);
    fleet.until("it is there", |told| told["state"] == "active");
    instance.kill();
    fleet.until("it drains", |told| told["drain"].is_object());
    fleet.until_gone();
}

#[test]
fn an_instance_comes_is_seen_and_goes_under_mono() {
    let _beside = crate::together();
    comes_is_seen_and_goes(mono);
}

#[test]
fn an_instance_comes_is_seen_and_goes_under_net() {
    let _beside = crate::together();
    comes_is_seen_and_goes(net);
}
