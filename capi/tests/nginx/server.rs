//! An nginx with the module, which runs as long as its value lives.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::support::client::get;
use crate::support::program::find;
use crate::support::until;
use crate::support::upstream::Upstream;

/// A request, by nginx's access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The worker's process.
    pub worker: String,
    /// The visitor, by `X-Visitor`.
    pub visitor: String,
    pub status: String,
    /// The upstreams that were tried, by address.
    pub tried: Vec<String>,
    /// `$homing_upstream`
    pub upstream: String,
    /// `$homing_decision`
    pub decision: String,
}

/// The part of nginx's configuration that differs between tests.
#[derive(Clone, Default)]
pub struct Setup {
    /// In `http {}`: the `upstream {}` blocks, mostly.
    pub http: String,
    /// In `server {}`.
    pub server: String,
    /// After the address in `listen`.
    pub listen: &'static str,
    /// 0: 2.
    pub workers: usize,
}

impl Setup {
    /// All requests go to `app`, which has these servers.
    pub fn of(app: impl AsRef<str>) -> Self {
        let http = format!("upstream app {{ {} }}", app.as_ref());
        Self { http, server: "location / { proxy_pass http://app; }".to_owned(), ..Self::default() }
    }

    fn workers(&self) -> usize {
        if self.workers == 0 { 2 } else { self.workers }
    }
}

/// A `server` line for each.
pub fn servers(upstreams: &[Upstream]) -> String {
    upstreams.iter().map(|upstream| format!("server {}; ", upstream.address)).collect()
}

/// nginx (`HOMING_NGINX`, or where it is installed), and the module built for it. Without nginx, or its sources, the test
/// is reported as ignored.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let nginx = match std::env::var_os("HOMING_NGINX") {
        Some(given) => given.into(),
        None => find("nginx")?,
    };
    if let Some(module) = std::env::var_os("HOMING_NGINX_MODULE") {
        return Some((nginx, module.into()));
    }
    find("/usr/share/nginx/src/configure")?;
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let module = BUILT.get_or_init(|| {
        let script = crate::root().join("examples/nginx/build");
        let built =
            Command::new(script).env("HOMING", crate::c::library::prefix()).output().expect("run examples/nginx/build");
        let (path, error) = (String::from_utf8_lossy(&built.stdout), String::from_utf8_lossy(&built.stderr));
        assert!(built.status.success(), "{error}");
        path.trim().into()
    });
    Some((nginx, module.clone()))
}

pub fn module() -> Option<PathBuf> {
    programs().map(|(_, module)| module)
}

/// `nginx -t` of a setup: whether it succeeds, and its output.
pub fn check(setup: &Setup) -> Option<(bool, String)> {
    let (nginx, module) = programs()?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("nginx.conf"), configuration(setup, &module, 1)).expect("write the configuration");
    let Output { status, stderr, .. } = command(&nginx, directory.path()).arg("-t").output().expect("run nginx");
    Some((status.success(), String::from_utf8_lossy(&stderr).into_owned()))
}

fn command(nginx: &Path, directory: &Path) -> Command {
    let mut command = Command::new(nginx);
    command.current_dir(directory).args(["-p", ".", "-e", "error.log", "-c", "nginx.conf"]).stdin(Stdio::null());
    command
}

/// `http` begins on line 16 of the file. If it begins with an upstream block, a `homing` directive on its second line
/// is line 17.
fn configuration(setup: &Setup, module: &Path, port: u16) -> String {
    format!(
        "load_module {module};
daemon off;
worker_processes {workers};
worker_shutdown_timeout 10s;
pid pid;
error_log error.log notice;
events {{ worker_connections 1024; }}
http {{
client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
log_format homing '$pid|$http_x_visitor|$status|$upstream_addr|$homing_upstream|$homing_decision';
access_log access.log homing;
real_ip_header X-Client;
set_real_ip_from 127.0.0.1;
server {{ listen 127.0.0.1:{port} {listen}; location = /status {{ access_log off; homing_status; }} {server}
}}
{http}
}}
",
        module = module.display(),
        workers = setup.workers(),
        listen = setup.listen,
        server = setup.server,
        http = setup.http,
    )
}

pub struct Nginx {
    child: Child,
    module: PathBuf,
    pub address: SocketAddr,
    /// Bound and never listening, so that no other process gets the port before or after nginx.
    _port: Socket,
    pub directory: TempDir,
    setup: Setup,
    reloads: usize,
}

impl Nginx {
    pub fn start(setup: &Setup) -> Option<Self> {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"), setup)
    }

    /// In a directory that may contain a key file.
    pub fn start_in(directory: TempDir, setup: &Setup) -> Option<Self> {
        let (program, module) = programs()?;
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        port.set_reuse_address(true).expect("set SO_REUSEADDR");
        port.set_reuse_port(true).expect("set SO_REUSEPORT");
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind a port");
        let address = port.local_addr().expect("its address").as_socket().expect("an address");
        fs::write(directory.path().join("nginx.conf"), configuration(setup, &module, address.port()))
            .expect("write it");
        let output = File::create(directory.path().join("output")).expect("a file");
        let child = command(&program, directory.path())
            .stdout(output.try_clone().expect("a file"))
            .stderr(output)
            .spawn()
            .expect("start nginx");
        let setup = setup.clone();
        let mut nginx = Self { child, module, address, _port: port, directory, setup, reloads: 0 };
        // nginx listens before it has workers.
        until("nginx serves", || {
            let ended = nginx.child.try_wait().expect("its state");
            assert!(ended.is_none(), "nginx ended with {ended:?}: {}{}", nginx.read("output"), nginx.errors());
            TcpStream::connect(address).is_ok() && nginx.workers().len() >= nginx.setup.workers()
        });
        Some(nginx)
    }

    pub fn master(&self) -> u32 {
        self.child.id()
    }

    /// The workers' processes.
    pub fn workers(&self) -> Vec<u32> {
        let master = self.master();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).expect("its children");
        children.split_whitespace().map(|child| child.parse().expect("a number")).collect()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.path().join(file)).unwrap_or_default()
    }

    /// Its error log.
    pub fn errors(&self) -> String {
        self.read("error.log")
    }

    /// Lines of the error log at the level warn or above.
    pub fn complaints(&self) -> Vec<String> {
        let levels = ["[warn]", "[error]", "[crit]", "[alert]", "[emerg]"];
        let is_bad = |line: &&str| levels.iter().any(|level| line.contains(level));
        self.errors().lines().filter(is_bad).map(str::to_owned).collect()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.master().to_string()]).status();
        assert!(sent.expect("run kill").success(), "nginx had ended already: {}", self.errors());
    }

    /// Reloads the same configuration, and waits until the old workers have exited.
    pub fn reload(&mut self) {
        self.signal("HUP");
        self.reloads += 1;
        let gone = self.reloads * self.setup.workers();
        until("the workers from before end", || self.errors().matches("exited with code 0").count() >= gone);
    }

    /// Reloads with another setup.
    pub fn change(&mut self, setup: &Setup) {
        let text = configuration(setup, &self.module, self.address.port());
        fs::write(self.directory.path().join("nginx.conf"), text).expect("write the configuration");
        self.reload();
        self.setup = setup.clone();
    }

    /// Reloads a setup that nginx refuses, and returns its error.
    pub fn refuse(&mut self, setup: &Setup) -> String {
        let text = configuration(setup, &self.module, self.address.port());
        fs::write(self.directory.path().join("nginx.conf"), text).expect("write the configuration");
        let before = self.errors().len();
        self.signal("HUP");
        until("the reload is refused", || self.errors()[before..].contains("[emerg]"));
        self.errors()[before..].to_owned()
    }

    /// The log of at least that many requests; nginx logs a request when all of its response is sent.
    pub fn log(&self, at_least: usize) -> Vec<Logged> {
        until("nginx logs", || self.read("access.log").lines().count() >= at_least);
        let line = |line: &str| {
            let fields: Vec<String> = line.split('|').map(str::to_owned).collect();
            let [worker, visitor, status, tried, upstream, decision] = fields.try_into().expect("six fields");
            let tried = tried.split(", ").map(str::to_owned).collect();
            Logged { worker, visitor, status, tried, upstream, decision }
        };
        self.read("access.log").lines().map(line).collect()
    }

    /// The last of that many. Workers log independently: with several, wait after each request whose line matters.
    pub fn last(&self, at_least: usize) -> Logged {
        self.log(at_least).pop().expect("a line")
    }

    /// The status of one worker, by `homing_status`.
    pub fn status(&self) -> Value {
        let answer = get(self.address, "/status");
        assert_eq!(answer.head.one("content-type").as_deref(), Some("application/json"));
        serde_json::from_str(&answer.text()).expect("JSON")
    }

    /// Ends it gracefully, and returns its exit status.
    pub fn quit(&mut self) -> std::process::ExitStatus {
        self.signal("QUIT");
        self.child.wait().expect("its exit status")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers. If it has exited, its process id may belong to another process.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-TERM", &self.master().to_string()]).status();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- nginx's error log\n{}--- its access log\n{}", self.errors(), self.read("access.log"));
        }
    }
}
