//! Instances as processes: killed, stopped, continued and started again, each at its own address.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::mode::Mode;
use crate::record::{self, Kind, Record};

pub struct Instance {
    pub name: String,
    pub address: SocketAddr,
    journal: PathBuf,
    /// Bound and never listening: no other process gets the port while this one is dead.
    _port: Socket,
    process: Option<Child>,
}

pub struct Fleet {
    pub instances: Vec<Instance>,
    /// The mode that a process begins in.
    usual: Mode,
    program: PathBuf,
    /// The etcd where they register themselves, if they do.
    registry: Option<String>,
    directory: TempDir,
}

/// A program below `target/<profile>`, for a test that runs from `deps` and for the example `faults` itself.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let profile = this.ancestors().nth(2).expect("a target directory");
    let program = profile.join(name);
    let hint = "build it with `cargo build -p homing-gateway --all-targets`";
    assert!(program.exists(), "{} is missing: {hint}", program.display());
    program
}

impl Fleet {
    /// `app-1` and so on, at free ports.
    pub fn start(count: usize, usual: Mode) -> Self {
        Self::at(&vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); count], usual)
    }

    pub fn at(addresses: &[SocketAddr], usual: Mode) -> Self {
        let mut fleet = Self::none(usual, None);
        addresses.iter().for_each(|address| fleet.add(*address));
        fleet
    }

    /// Likewise at free ports, and each registers itself in that etcd.
    pub fn registered(count: usize, usual: Mode, etcd: &str) -> Self {
        let mut fleet = Self::none(usual, Some(etcd.to_owned()));
        (0..count).for_each(|_| drop(fleet.join()));
        fleet
    }

    fn none(usual: Mode, registry: Option<String>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { instances: Vec::new(), usual, program: program("examples/faults"), registry, directory }
    }

    /// One more, at a free port. Its name.
    pub fn join(&mut self) -> String {
        self.add(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        self.instances[self.instances.len() - 1].name.clone()
    }

    fn add(&mut self, address: SocketAddr) {
        let name = format!("app-{}", self.instances.len() + 1);
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        port.set_reuse_address(true).expect("set SO_REUSEADDR");
        port.bind(&address.into()).expect("bind an instance's port");
        let address = port.local_addr().expect("a bound address").as_socket().expect("an address");
        let journal = self.directory.path().join(&name);
        self.instances.push(Instance { name, address, journal, _port: port, process: None });
        self.begin(self.instances.len() - 1);
    }

    /// Starts a process, and returns when it accepts connections.
    pub fn begin(&mut self, index: usize) {
        let program = &self.program;
        let instance = &mut self.instances[index];
        assert!(instance.process.is_none(), "{} runs", instance.name);
        let mut process = Command::new(program)
            .args(["instance", &instance.name, &instance.address.to_string()])
            .arg(&instance.journal)
            .arg(self.usual.to_string())
            .args(self.registry.iter().flat_map(|etcd| ["--register", etcd]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start an instance");
        let mut line = String::new();
        let output = process.stdout.take().expect("its standard output");
        instance.process = Some(process);
        BufReader::new(output).read_line(&mut line).expect("read its standard output");
        assert_eq!(line, "ready\n", "{} did not start", instance.name);
    }

    /// Kills it as `kill -9` does. The moment of its death, which is before this returns.
    pub fn kill(&mut self, index: usize) -> u64 {
        let mut process = self.instances[index].process.take().expect("a running instance");
        let at = record::now();
        process.kill().expect("kill it");
        process.wait().expect("its exit status");
        at
    }

    pub fn pause(&self, index: usize) {
        self.signal(index, "STOP");
    }

    pub fn resume(&self, index: usize) {
        self.signal(index, "CONT");
    }

    fn signal(&self, index: usize, name: &str) {
        let process = self.instances[index].process.as_ref().expect("a running instance");
        let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
        assert!(sent.expect("run kill").success(), "{} had ended already", self.instances[index].name);
    }

    /// Switches how it fails, which it confirms.
    pub fn set(&self, index: usize, mode: Mode) {
        let mut stream = TcpStream::connect(self.instances[index].address).expect("connect to an instance");
        write!(stream, "GET /mode/{mode} HTTP/1.1\r\n\r\n").expect("ask for the mode");
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).expect("its answer");
        assert_eq!(status, "HTTP/1.1 200 OK\r\n", "{mode}");
    }

    /// The records of each instance, over all its processes.
    pub fn journals(&self) -> Vec<Vec<Record>> {
        self.instances.iter().map(|instance| record::read(&instance.journal)).collect()
    }

    pub fn journal(&self, index: usize) -> Vec<Record> {
        record::read(&self.instances[index].journal)
    }

    /// Returns when the next probe arrives there. Probes come one after the other, so all that came before have been
    /// judged then.
    pub async fn probed(&self, index: usize) {
        let journal = &self.instances[index].journal;
        let place = record::end(journal);
        while !record::read_from(journal, place).iter().any(|record| record.kind == Kind::Probe) {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The entries of the gateway's configuration.
    pub fn upstreams(&self) -> String {
        let entry = |instance: &Instance| {
            format!("[[upstream]]\nname = \"{}\"\naddress = \"{}\"\n", instance.name, instance.address)
        };
        self.instances.iter().map(entry).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A proxy in front of the fleet, as a process; it ends with this value.
pub struct Front {
    pub address: SocketAddr,
    process: Child,
    _directory: Option<TempDir>,
}

impl Front {
    /// Homing's gateway, with `settings` (top-level keys first, then tables), at a free port.
    pub fn gateway(settings: &str, fleet: &Fleet) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("gateway.toml");
        let config = format!("listen = [\"127.0.0.1:0\"]\n{settings}\n{}", fleet.upstreams());
        std::fs::write(&file, config).expect("write the configuration");
        let mut process = Command::new(program("homing"))
            .args(["run", "--log", "error", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the gateway");
        let output = process.stdout.take().expect("its standard output");
        let mut front = Self { address: fleet.instances[0].address, process, _directory: Some(directory) };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("read its standard output");
        let address = line.trim().strip_prefix("listening on http://").expect("the gateway listens");
        front.address = address.parse().expect("an address");
        front
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Any proxy that listens at `address`, once it does.
    pub fn run(command: &[String], address: SocketAddr) -> Self {
        let (program, arguments) = command.split_first().expect("a proxy's program");
        let process = Command::new(program).args(arguments).stdin(Stdio::null()).spawn().expect("start the proxy");
        let mut front = Self { address, process, _directory: None };
        while TcpStream::connect(address).is_err() {
            let ended = front.process.try_wait().expect("its state");
            assert!(ended.is_none(), "{program} ended: {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        front
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
