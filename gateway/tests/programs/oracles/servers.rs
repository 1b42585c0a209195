//! Servers that answer every request with the address they are configured by.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::thread;

use tempfile::TempDir;

use crate::support::dice::Dice;

pub struct Servers {
    /// As nginx is told them.
    pub addresses: Vec<String>,
    /// Addresses without a listener.
    pub closed: Vec<String>,
    _sockets: TempDir,
}

impl Servers {
    /// Of all kinds: ports of IPv4 and IPv6, names, port 80 unsaid where it may be bound, and Unix sockets.
    pub fn start(dice: &Dice) -> Self {
        let sockets = directory(dice);
        let (mut addresses, mut closed) = (Vec::new(), Vec::new());
        let names = names_of_loopback();
        for i in 0..6 {
            // Drawn from the seed, since rings are made of addresses. Out of so many, no other process uses this one.
            let own = Ipv4Addr::from_bits(0x7f00_0000 | (dice.bits() as u32 >> 8));
            let port = 10_000 + dice.below(20_000);
            for (listen, name) in [
                (format!("{own}:{port}"), format!("{own}:{port}")),
                (format!("[::1]:{port}"), format!("[::1]:{port}")),
                (format!("{own}:80"), own.to_string()),
            ] {
                match TcpListener::bind(listen) {
                    Ok(listener) => addresses.push(serve_tcp(listener, name)),
                    Err(_) => closed.push(name),
                }
            }
            for name in &names {
                let port = 10_000 + dice.below(20_000);
                if let Ok(listener) = TcpListener::bind(("127.0.0.1", port as u16)) {
                    addresses.push(serve_tcp(listener, format!("{name}:{port}")));
                }
            }
            let path = sockets.path().join(format!("{i}.socket"));
            let name = format!("unix:{}", path.display());
            addresses.push(serve_unix(UnixListener::bind(path).expect("bind a socket"), name));
            closed.push(format!("[2001:db8::{i}]"));
        }
        Self { addresses, closed, _sockets: sockets }
    }
}

/// A directory that is named by the seed; by chance where one of that name was left behind.
fn directory(dice: &Dice) -> TempDir {
    let prefix = format!("homing-{:016x}", dice.bits());
    let named = tempfile::Builder::new().prefix(&prefix).rand_bytes(0).tempdir();
    named.or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

/// Names, of /etc/hosts alone, that are 127.0.0.1 and nothing else: of several addresses nginx makes several peers.
fn names_of_loopback() -> Vec<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().filter_map(|line| line.split('#').next());
    let names: BTreeSet<&str> = lines.flat_map(|line| line.split_whitespace().skip(1)).collect();
    let is_loopback = |name: &&str| {
        let found = (*name, 80).to_socket_addrs().into_iter().flatten().map(|address| address.ip());
        found.collect::<BTreeSet<_>>() == BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST)])
    };
    names.into_iter().filter(is_loopback).map(str::to_owned).collect()
}

fn serve_tcp(listener: TcpListener, name: String) -> String {
    let answer = answer(&name);
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| exchange(stream, &answer)));
    name
}

fn serve_unix(listener: UnixListener, name: String) -> String {
    let answer = answer(&name);
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| exchange(stream, &answer)));
    name
}

fn answer(name: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{name}", name.len())
}

/// One request, without a body. A client may close early.
fn exchange(mut stream: impl Read + Write, answer: &str) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    }
    let _ = stream.write_all(answer.as_bytes());
}
