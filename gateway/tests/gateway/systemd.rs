//! What passes between the gateway and a service manager: inherited sockets, and notifications.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use command_fds::{CommandFdExt, FdMapping};

use crate::support::GUARD;
use crate::support::client::{connect, get, request};
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;

/// Passes sockets as systemd does, except for `LISTEN_PID`, which is unknown before the start.
fn pass(command: &mut std::process::Command, sockets: &[TcpListener]) {
    let owned = sockets.iter().map(|socket| OwnedFd::from(socket.try_clone().expect("a socket")));
    let mappings = (3..).zip(owned).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.env("LISTEN_FDS", sockets.len().to_string()).fd_mappings(mappings).expect("mappings");
}

#[test]
fn sockets_of_a_unit_are_accepted_from() {
    let upstream = Upstream::named("app-1");
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = socket.local_addr().expect("an address");
    // The gateway does not run yet, and the unit's socket already accepts connections.
    let mut early = connect(address);
    early.send(request("GET", "/", "")).expect("send");
    let text = format!("listen = [\"{address}\"]\nworkers = 3\n{}", upstream.entry(""));
    let mut gateway = Gateway::under(&text, |command| pass(command, std::slice::from_ref(&socket)));
    assert_eq!(gateway.address(), address);
    assert_eq!(early.response("GET").text(), "app-1");
    for _ in 0..12 {
        assert_eq!(get(address, "/").text(), "app-1");
    }
    let old = gateway.upgrade();
    assert_eq!(get(address, "/").text(), "app-1");
    // The idle connection may carry one more request.
    drop(early);
    gateway.await_end(old);
    gateway.terminate();
    gateway.await_end(gateway.process());
    // The unit keeps its socket, so new connections wait for the next gateway.
    let mut late = connect(address);
    late.send(request("GET", "/", "")).expect("send");
    let _gateway = Gateway::under(&text, |command| pass(command, &[socket]));
    assert_eq!(late.response("GET").text(), "app-1");
}

#[test]
fn a_socket_that_is_not_configured_is_told() {
    let upstream = Upstream::named("app-1");
    let socket = TcpListener::bind("127.0.0.84:0").expect("bind");
    let text = format!("listen = [\"127.0.0.1:0\"]\n{}", upstream.entry(""));
    let gateway = Gateway::under(&text, |command| pass(command, &[socket]));
    assert_eq!(get(gateway.address(), "/").status(), 200);
    gateway.await_saying("an inherited socket is on no address that is configured", 1);
}

#[test]
fn the_service_manager_hears_how_it_goes() {
    let upstream = Upstream::named("app-1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bind");
    manager.set_read_timeout(Some(GUARD)).expect("a timeout");
    let hear = || {
        let mut bytes = [0; 1024];
        let length = manager.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    let text = format!("listen = [\"127.0.0.1:0\"]\n{}", upstream.entry(""));
    let mut gateway = Gateway::under(&text, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(hear(), "READY=1");
    gateway.signal("HUP");
    let reloading = hear();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(hear(), "READY=1");
    let old = gateway.upgrade();
    // The new process reports that it is ready, then the old one that the new one is the main process.
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), format!("MAINPID={}\nREADY=1", gateway.process()));
    gateway.await_end(old);
    gateway.terminate();
    assert_eq!(hear(), "STOPPING=1");
    gateway.await_end(gateway.process());
}
