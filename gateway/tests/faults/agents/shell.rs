//! agent.sh.

use super::fleet::Fleet;
use super::process::Process;
use crate::support::program::is_here;
use crate::support::test;
use crate::support::until;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

struct Instance {
    application: Process,
    agent: Process,
    address: String,
}

impl Instance {
    fn start(fleet: &Fleet, more: &[&str]) -> Self {
        let application = Process::start(
            Command::new("python3").arg(root().join("gateway/tests/faults/agents/instance.py")).arg("app-9"),
        );
        let address = application.line();
        let agent = agent(fleet, &address, &[&["--pid", &application.id().to_string()], more].concat());
        Self { application, agent, address }
    }
}

fn agent(fleet: &Fleet, address: &str, more: &[&str]) -> Process {
    let mut command = Command::new(root().join("examples/agents/agent.sh"));
    command.args(["--admin", &fleet.admin(), "--token-file"]).arg(fleet.token()).args(["--ttl", "3"]);
    command.args(["--sessions-url", &format!("http://{address}/sessions")]).args(more);
    Process::start(command.args(["app-9", address]))
}

fn can_run() -> bool {
    is_here("curl") && is_here("python3")
}

#[test]
fn an_instance_comes_by_itself_is_seen_and_goes_politely() {
    let _beside = crate::together();
    if !can_run() {
        return;
    }
    let mut fleet = Fleet::start();
    let mut instance = Instance::start(&fleet, &[]);
    fleet.accepts_it(&instance.address);
    assert!(!fleet.shows_token(instance.agent.id()));
    // The gateway has lost the registration, and gets it again.
    fleet.restart();
    fleet.accepts_it(&instance.address);
    instance.agent.terminate();
    assert!(instance.agent.wait().success(), "{}", instance.agent.said());
    assert!(fleet.listed().is_none(), "gone by the time that it ends");
    // It may have waited for its sessions to leave; there are none.
    instance.agent = agent(&fleet, &instance.address, &["--drain", "600"]);
    fleet.until("it is back", |told| told["state"] == "active");
    instance.agent.terminate();
    assert!(instance.agent.wait().success(), "{}", instance.agent.said());
    assert!(instance.agent.said().contains("app-9 drains") && fleet.listed().is_none(), "{}", instance.agent.said());
}

#[test]
fn what_is_killed_drains_and_goes() {
    let _beside = crate::together();
    if !can_run() {
        return;
    }
    let fleet = Fleet::start();
    let instance = Instance::start(&fleet, &[]);
    fleet.until("it is there", |told| told["state"] == "active");
    instance.agent.kill();
    instance.application.kill();
    fleet.until("it drains", |told| told["drain"].is_object());
    fleet.until_gone();
}

#[test]
fn an_agent_ends_with_its_process_and_takes_the_instance_along() {
    let _beside = crate::together();
    if !can_run() {
        return;
    }
    let fleet = Fleet::start();
    let mut instance = Instance::start(&fleet, &[]);
    fleet.until("it is there", |told| told["state"] == "active");
    instance.application.kill();
    assert!(!instance.agent.wait().success());
    assert!(instance.agent.said().contains("is gone") && fleet.listed().is_none(), "{}", instance.agent.said());
}

#[test]
fn an_agent_without_a_token_is_refused_and_says_so() {
    let _beside = crate::together();
    if !can_run() {
        return;
    }
    let fleet = Fleet::start();
    let mut command = Command::new(root().join("examples/agents/agent.sh"));
    let stranger = Process::start(command.args(["--admin", &fleet.admin(), "app-9", "127.0.0.1:9"]));
    until("it says so", || stranger.said().contains("refuses the token (401)"));
    assert!(fleet.listed().is_none());
    for wrong in
        [&["app-9"][..], &["app 9", "a:1"], &["app-9", "a\"b:1"], &["--ttl", "soon", "app-9", "a:1"], &["--more"]]
    {
        let mut refused = Process::start(Command::new(root().join("examples/agents/agent.sh")).args(wrong));
        assert_eq!(refused.wait().code(), Some(2), "{wrong:?}");
    }
}
