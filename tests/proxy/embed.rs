//! `examples/embed.rs` as a user runs it: a complete sticky proxy in under 25 lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An upstream that responds to every request with `name` and closes.
fn upstream(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{name}", name.len());
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

struct Embed(Child, String);

impl Drop for Embed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(upstreams: &[String]) -> Embed {
    let tests = std::env::current_exe().unwrap();
    let program: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples/embed");
    let mut child = Command::new(&program)
        .arg("127.0.0.1:0")
        .args(upstreams)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; cargo build --features proxy --examples", program.display()));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    Embed(child, address)
}

/// The upstream that responded, and the cookie of its response.
fn visit(embed: &Embed, cookie: &str) -> (String, Option<String>) {
    let mut stream = TcpStream::connect(&embed.1).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    (body.to_owned(), set.map(|set| set.split(';').next().unwrap().to_owned()))
}

#[test]
fn a_complete_sticky_proxy_in_under_25_lines() {
    let lines = include_str!("../../examples/embed.rs").lines().count();
    assert!(lines < 25, "{lines} lines");

    let embed = start(&[upstream("left"), upstream("right")]);
    let mut pinned_to = Vec::new();
    for _ in 0..10 {
        let (pinned, cookie) = visit(&embed, "other=1");
        let cookie = cookie.expect("a first visit sets a cookie");
        for _ in 0..5 {
            assert_eq!(visit(&embed, &cookie), (pinned.clone(), None));
        }
        pinned_to.push(pinned);
    }
    // The control: clients without a cookie are spread, so it is the cookie that pins a session.
    assert!(
        pinned_to.iter().any(|pinned| pinned == "left") && pinned_to.iter().any(|pinned| pinned == "right"),
        "{pinned_to:?}"
    );
}
