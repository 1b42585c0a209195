//! A real etcd on loopback, with the calls of an operator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The timeout of a test that hangs. No test depends on its length.
const GUARD: Duration = Duration::from_secs(60);

/// Whether etcd is installed. Without it the test is reported as ignored.
pub fn is_here() -> bool {
    crate::program::is_here("etcd")
}

/// An etcd of one member, which keeps its data and ports when it is killed; it ends when this value is dropped.
pub struct Etcd {
    directory: TempDir,
    client: SocketAddr,
    peer: SocketAddr,
    tls: SocketAddr,
    /// Bound and never listening: no other process gets the ports while it is dead.
    _ports: [Socket; 3],
    process: Option<Child>,
    arguments: Vec<String>,
}

impl Etcd {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts it with more arguments.
    pub fn with(arguments: &[&str]) -> Self {
        let ports = [(); 3].map(|()| {
            let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            port.set_reuse_address(true).expect("set SO_REUSEADDR");
            port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind a port");
            port
        });
        let [client, peer, tls] =
            ports.each_ref().map(|port| port.local_addr().expect("a bound address").as_socket().expect("an address"));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut etcd = Self { directory, client, peer, tls, _ports: ports, process: None, arguments };
        etcd.revive();
        etcd
    }

    /// Starts it with TLS too, where it requires a client certificate of this authority.
    pub fn with_tls(certificate: &str, key: &str, ca: &str) -> Self {
        let files = ["--cert-file", certificate, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth"];
        Self::with(&files)
    }

    /// The URL of its TLS endpoint.
    pub fn tls_endpoint(&self) -> String {
        format!("https://{}", self.tls)
    }

    /// The URL of its endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.client)
    }

    /// Starts it again on its data, and returns when it responds.
    pub fn revive(&mut self) {
        assert!(self.process.is_none(), "etcd runs");
        let log = std::fs::File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let peer = format!("http://{}", self.peer);
        let has_tls = self.arguments.iter().any(|argument| argument == "--cert-file");
        let listen = if has_tls { format!("{},{}", self.endpoint(), self.tls_endpoint()) } else { self.endpoint() };
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(self.directory.path().join("data"))
            .args(["--listen-client-urls", &listen, "--advertise-client-urls", &self.endpoint()])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--heartbeat-interval", "20"])
            .args(["--election-timeout", "200"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("start etcd");
        self.process = Some(process);
        let since = Instant::now();
        while self.try_call("/v3/kv/range", &json!({"key": STANDARD.encode("ready")})).is_none() {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().expect("its state"));
            let log = || std::fs::read_to_string(self.log_file()).unwrap_or_default();
            assert!(ended.is_none() && since.elapsed() < GUARD, "etcd does not start: {ended:?} {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running etcd");
        process.kill().expect("kill it");
        process.wait().expect("its exit status");
    }

    /// Puts a value, as `etcdctl put` does; returns its revision.
    pub fn put(&self, key: &str, value: &str) -> i64 {
        self.put_on(key, value, "0")
    }

    pub fn put_on(&self, key: &str, value: &str, lease: &str) -> i64 {
        let put = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value), "lease": lease});
        revision(&self.call("/v3/kv/put", &put))
    }

    pub fn delete(&self, key: &str) -> i64 {
        revision(&self.call("/v3/kv/deleterange", &json!({"key": STANDARD.encode(key)})))
    }

    pub fn get(&self, key: &str) -> Option<String> {
        let answer = self.call("/v3/kv/range", &json!({"key": STANDARD.encode(key)}));
        let value = answer["kvs"][0]["value"].as_str()?;
        Some(String::from_utf8(STANDARD.decode(value).expect("base64")).expect("UTF-8"))
    }

    /// The number of keys that begin so.
    pub fn count(&self, prefix: &str) -> u64 {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().expect("a prefix") += 1;
        let range = json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end), "count_only": true});
        self.call("/v3/kv/range", &range)["count"].as_str().map_or(0, |count| count.parse().expect("a number"))
    }

    pub fn compact(&self, revision: i64) {
        self.call("/v3/kv/compaction", &json!({"revision": revision.to_string(), "physical": true}));
    }

    /// Makes any call, and panics if it fails.
    pub fn call(&self, path: &str, body: &Value) -> Value {
        self.try_call(path, body).unwrap_or_else(|| panic!("etcd refuses {path} {body}"))
    }

    fn try_call(&self, path: &str, body: &Value) -> Option<Value> {
        let mut stream = TcpStream::connect(self.client).ok()?;
        stream.set_read_timeout(Some(GUARD)).ok()?;
        let body = body.to_string();
        // HTTP/1.0, so that the response is not chunked.
        write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200 ").then(|| serde_json::from_str(body).ok()).flatten()
    }
}

fn revision(answer: &Value) -> i64 {
    answer["header"]["revision"].as_str().expect("a revision").parse().expect("a number")
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
