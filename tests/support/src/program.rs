//! Another program (nginx or HAProxy) that runs in front of servers, on a Unix socket, until it is dropped.

use std::fmt::Display;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness;
use crate::wire::Wire;

/// The timeout of a test that hangs. No test depends on its length.
const GUARD: Duration = Duration::from_secs(30);

/// Programs and the packages that have them, one per line.
const PROGRAMS: &str = include_str!("../programs.txt");

/// The packages that have the program, by `programs.txt`.
fn packages(name: &str) -> &'static str {
    let of = |line: &'static str| line.split_once(' ').filter(|(program, _)| *program == name);
    let line = PROGRAMS.lines().find_map(of);
    line.unwrap_or_else(|| panic!("tests/support/programs.txt does not say what has {name}")).1
}

fn locate(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian installs servers in a directory that is not in a user's PATH.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|program| program.exists())
}

/// A line that names the absent programs and the command that installs them; `None` if none is absent.
pub fn absent(names: &[&str]) -> Option<String> {
    let names: Vec<&str> = names.iter().copied().filter(|name| locate(name).is_none()).collect();
    let packages: Vec<&str> = names.iter().flat_map(|name| packages(name).split(' ')).collect();
    let (pypi, debian): (Vec<&str>, Vec<&str>) = packages.into_iter().partition(|package| package.starts_with("pip:"));
    let debian = (!debian.is_empty()).then(|| format!("apt-get install {}", debian.join(" ")));
    let pypi = pypi.iter().map(|package| package.replacen("pip:", "pip install ", 1));
    let commands: Vec<String> = debian.into_iter().chain(pypi).collect();
    let names = names.join(", ");
    (!names.is_empty())
        .then(|| format!("absent: {names}; their tests are ignored. To run them: {}", commands.join("; ")))
}

/// The path of the program or file. Without it the test is reported as ignored, or fails if `HOMING_REQUIRE_PROGRAMS`
/// is set.
pub fn find(name: &str) -> Option<PathBuf> {
    let found = locate(name);
    if found.is_none() {
        let packages = packages(name);
        let is_required = std::env::var_os("HOMING_REQUIRE_PROGRAMS").is_some();
        assert!(!is_required, "{name} is required and not installed ({packages})");
        harness::ignore(format!("{name} is not installed ({packages})"));
    }
    found
}

/// Whether [`find`] finds the program.
pub fn is_here(name: &str) -> bool {
    find(name).is_some()
}

/// A loopback address on which no other process listens: its IP is derived from this process's id and a counter.
pub fn free_address() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let own = 0x7f40_0000 + (TAKEN.fetch_add(1, Ordering::Relaxed) << 16) + (std::process::id() & 0xffff);
    let listener = TcpListener::bind((Ipv4Addr::from_bits(own), 0));
    listener.and_then(|listener| listener.local_addr()).expect("a free port")
}

/// The arguments with which nginx runs in its working directory, with [`nginx_config`].
pub const NGINX_ARGUMENTS: [&str; 6] = ["-e", "stderr", "-p", ".", "-c", "config"];

/// A complete configuration of nginx with `http` in its `http` block. It writes files only in its directory.
pub fn nginx_config(connections: usize, http: &str) -> String {
    format!(
        "daemon off; master_process off; pid pid; error_log stderr; events {{ worker_connections {connections}; }}
        http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
        uwsgi_temp_path t4; scgi_temp_path t5;\n{http} }}"
    )
}

pub struct Program {
    child: Child,
    directory: TempDir,
}

impl Program {
    /// Starts it in a temporary directory, and returns when it accepts connections. `config` makes its configuration
    /// from the path of the socket to listen on.
    pub fn start(program: &Path, arguments: &[&str], config: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("front");
        let config = ("config", config(&socket));
        Self::start_in(directory, program, arguments, config, || UnixStream::connect(&socket).map(drop))
    }

    /// Starts it in a directory with a configuration file (name and text), and returns when `ready` succeeds.
    pub fn start_in<E: Display>(
        directory: TempDir,
        program: &Path,
        arguments: &[&str],
        (file, config): (&str, String),
        ready: impl Fn() -> Result<(), E>,
    ) -> Self {
        fs::write(directory.path().join(file), config).expect("write the configuration");
        let log = fs::File::create(directory.path().join("log")).expect("a log");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("start the program");
        let mut running = Self { child, directory };
        let since = Instant::now();
        while let Err(error) = ready() {
            let ended = running.child.try_wait().expect("its state");
            assert!(ended.is_none() && since.elapsed() < GUARD, "{error}, {ended:?}: {}", running.log());
            thread::sleep(Duration::from_millis(5));
        }
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn connect(&self) -> Asker<'_> {
        let stream = UnixStream::connect(self.directory.path().join("front")).expect("connect");
        stream.set_read_timeout(Some(GUARD)).expect("set a read timeout");
        Asker { wire: Wire::new(stream), program: self }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends requests in sequence on one connection.
pub struct Asker<'a> {
    wire: Wire<UnixStream>,
    program: &'a Program,
}

impl Asker<'_> {
    /// The address of the server to which a request of this client with this key goes.
    pub fn ask(&mut self, path: &str, client: Option<IpAddr>, key: Option<&[u8]>) -> String {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n").into_bytes();
        if let Some(client) = client {
            request.extend(format!("X-Client: {client}\r\n").bytes());
        }
        if let Some(key) = key {
            request.extend([b"X-Key: ", key, b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        self.wire.send(request).expect("send a request");
        let head = self.wire.head().expect("read a head").expect("an answer");
        let body = self.wire.body(head.of_response("GET").expect("a framing")).expect("read a body");
        assert_eq!(head.status(), 200, "{path} {client:?} {key:?}: {}{}", body.text(), self.program.log());
        body.text()
    }
}
