//! The gateway as an operator runs it: the program, a configuration file, signals and its output.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::GUARD;
use super::upstream::Upstream;

/// A running gateway; it ends when this value is dropped.
pub struct Gateway {
    child: Child,
    /// The process that accepts: the child, or its latest successor by an upgrade.
    process: u32,
    /// All successors.
    successors: Vec<u32>,
    output: Receiver<String>,
    listeners: Vec<(String, SocketAddr)>,
    /// The directory of its configuration and keys.
    directory: TempDir,
    log: Arc<Mutex<String>>,
    collector: Option<JoinHandle<()>>,
}

/// `target/<profile>/homing`, next to the `deps` directory of this test.
fn program() -> PathBuf {
    let tests = env::current_exe().expect("the path of this test");
    let profile = tests.ancestors().nth(2).expect("a target directory");
    let program = profile.join("homing").with_extension(env::consts::EXE_EXTENSION);
    let hint = "build it with `cargo build -p homing-gateway`";
    assert!(program.exists(), "{} is missing: {hint}", program.display());
    program
}

/// Runs the program to its end, in `directory`.
pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    let child = command(directory, arguments).spawn().expect("run the gateway");
    let process = child.id();
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = is_done.recv_timeout(GUARD) else {
        signal(process, "KILL");
        panic!("the gateway does not end");
    };
    output.expect("its output")
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(sent.expect("run kill").success(), "the gateway had ended already");
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    command_of(&program(), directory, arguments)
}

fn command_of(program: &Path, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("RUST_LOG", "debug").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A configuration of `settings` (top-level keys first, then tables), followed by these upstreams.
pub fn config(settings: &str, upstreams: &[&Upstream]) -> String {
    let entries: String = upstreams.iter().map(|upstream| upstream.entry("")).collect();
    format!("listen = [\"127.0.0.1:0\"]\n{settings}\n{entries}")
}

impl Gateway {
    /// Starts it in front of these upstreams, with `settings` as in [`config`].
    pub fn start(settings: &str, upstreams: &[&Upstream]) -> Self {
        Self::with(&config(settings, upstreams))
    }

    /// Starts it in front of all of these upstreams, with default settings.
    pub fn before(upstreams: &[Upstream]) -> Self {
        Self::start("", &upstreams.iter().collect::<Vec<_>>())
    }

    /// Starts it with a complete configuration.
    pub fn with(config: &str) -> Self {
        Self::within(tempfile::tempdir().expect("a temporary directory"), config)
    }

    /// Starts it with a complete configuration, in a directory that has the files it names.
    pub fn within(directory: TempDir, config: &str) -> Self {
        Self::of(&program(), directory, config)
    }

    /// As [`within`](Self::within), with a path to the program that [`link`] made.
    pub fn of(program: &Path, directory: TempDir, config: &str) -> Self {
        Self::prepared(program, directory, config, |_| {})
    }

    /// Starts it with a complete configuration, as a service manager does: `prepare` sets its environment and
    /// descriptors.
    pub fn under(config: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::prepared(&program(), tempfile::tempdir().expect("a temporary directory"), config, prepare)
    }

    fn prepared(program: &Path, directory: TempDir, config: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let file = directory.path().join("gateway.toml");
        fs::write(&file, config).expect("write the configuration");
        let file = file.to_str().expect("a path in UTF-8");
        let mut command = command_of(program, directory.path(), &["run", "--config", file]);
        prepare(&mut command);
        let mut child = command.spawn().expect("start the gateway");
        let (log, collector) = collect(child.stderr.take().expect("its standard error"));
        let output = lines(child.stdout.take().expect("its standard output"));
        let mut gateway = Self {
            process: child.id(),
            successors: Vec::new(),
            child,
            output,
            listeners: Vec::new(),
            directory,
            log,
            collector: Some(collector),
        };
        while gateway.listeners.len() < count_listeners(config) {
            gateway.await_listener();
        }
        gateway
    }

    fn await_listener(&mut self) {
        // If this panics, the drop of `self` prints the log.
        let line = self.output.recv_timeout(GUARD).expect("the gateway gets ready");
        if let Some((scheme, address)) = line.strip_prefix("listening on ").and_then(|url| url.split_once("://")) {
            let address = address.trim_end_matches('/').parse().expect("the address it listens on");
            self.listeners.push((scheme.to_owned(), address));
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listeners[0].1
    }

    /// The scheme and address of each listener, in order.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Its standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("lock").clone()
    }

    /// Its peak resident memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak");
        let kilobytes: u64 = line.split_whitespace().nth(1).expect("a figure").parse().expect("a figure");
        kilobytes * 1024
    }

    /// Replaces its configuration file by a rename, as editors do.
    pub fn replace(&self, config: &str) {
        let next = self.directory.path().join("gateway.toml.next");
        fs::write(&next, config).expect("write the configuration");
        fs::rename(next, self.directory.path().join("gateway.toml")).expect("put it in place");
    }

    /// Writes its configuration into the existing file.
    pub fn write(&self, config: &str) {
        fs::write(self.directory.path().join("gateway.toml"), config).expect("write the configuration");
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How often its log contains `what`.
    pub fn says(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    /// Waits until its log contains `what` at least `times` times.
    pub fn await_saying(&self, what: &str, times: usize) {
        super::until(what, || self.says(what) >= times);
    }

    /// The id of the process that accepts.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Sends it a signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        signal(self.process, name);
    }

    /// Upgrades it to a new process; returns the id of the previous one.
    pub fn upgrade(&mut self) -> u32 {
        const TAKEN_OVER: &str = "another process has taken over: what runs here may finish process=";
        let before = self.says(TAKEN_OVER);
        self.signal("USR2");
        self.await_saying(TAKEN_OVER, before + 1);
        super::until("its id is written", || {
            self.log().lines().filter_map(|line| id_in(line, TAKEN_OVER)).count() > before
        });
        let process = self.log().lines().filter_map(|line| id_in(line, TAKEN_OVER)).next_back().expect("an id");
        self.successors.push(process);
        std::mem::replace(&mut self.process, process)
    }

    /// Waits until one of its processes has ended.
    pub fn await_end(&mut self, process: u32) {
        super::until("an old process ends", || {
            // The first process is a child of this test and stays a zombie until it is waited for.
            let _ = self.child.try_wait();
            !is_running(process)
        });
    }

    /// Sends SIGTERM: it ends gracefully.
    pub fn terminate(&self) {
        signal(self.process, "TERM");
    }

    /// Sends SIGSTOP; until it is resumed, the kernel accepts connections and bytes for it.
    pub fn pause(&self) {
        signal(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }

    /// Waits for it to end by itself; from then on the log is complete.
    pub fn wait(&mut self) -> ExitStatus {
        loop {
            match self.output.recv_timeout(2 * GUARD) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the gateway does not end"),
            }
        }
        let status = self.child.wait().expect("its exit status");
        self.collector.take().map(JoinHandle::join).transpose().expect("the whole log");
        status
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A successor may have ended by itself.
        for process in self.successors.drain(..).filter(|process| is_running(*process)) {
            signal(process, "KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the gateway's log\n{}", self.log());
        }
    }
}

/// A symbolic link to the program, which a test can replace.
pub fn link(directory: &Path) -> PathBuf {
    let link = directory.join("gateway");
    std::os::unix::fs::symlink(program(), &link).expect("link the program");
    link
}

/// The process id after `what` in a line of the log.
fn id_in(line: &str, what: &str) -> Option<u32> {
    line.split_once(what)?.1.trim().parse().ok()
}

/// Whether the process exists and is no zombie.
fn is_running(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().find(|line| line.starts_with("State:")).is_some_and(|state| !state.contains('Z'))
}

fn count_listeners(config: &str) -> usize {
    let listen = config.lines().find(|line| line.starts_with("listen ")).expect("a listen line");
    listen.matches('"').count() / 2
}

/// Reads a stream on a thread of its own, since a full pipe would block the gateway.
fn collect(stream: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(String::new()));
    let log = collected.clone();
    let collector = thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("lock");
            log.push_str(&line);
            log.push('\n');
        }
    });
    (collected, collector)
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // The pipe is drained even without a receiver, since a full pipe would block the gateway.
            let _ = sender.send(line);
        }
    });
    receiver
}
