//! A site with three instances, and a proxy in front of them: nginx, HAProxy or the gateway.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use tempfile::TempDir;

use super::guest::{Guest, astray};
use super::guide::fitted;
use super::instance::{self, Condition};
use crate::support::gateway::Gateway;
use crate::support::program::{NGINX_ARGUMENTS, Program, free_address, nginx_config};
use crate::support::upstream::Upstream;

/// Enough that each instance gets some by any hash, and that round robin finds nearly none of the sessions.
pub const GUESTS: u8 = 60;

pub struct Site {
    pub instances: Vec<Upstream>,
    pub conditions: Vec<Condition>,
    /// The addresses of the instances in the guide.
    addresses: [&'static str; 3],
    /// The directory of its gateways' keys.
    keys: TempDir,
}

/// A program in front of the instances.
pub struct Front {
    pub address: SocketAddr,
    _program: Program,
}

impl Site {
    pub fn new(addresses: [&'static str; 3]) -> Self {
        let conditions: Vec<_> = addresses.iter().map(|_| Condition::default()).collect();
        let instances = (1..).zip(&conditions).map(|(n, it)| instance::start(&format!("app-{n}"), it)).collect();
        Self { instances, conditions, addresses, keys: tempfile::tempdir().expect("a temporary directory") }
    }

    fn placed(&self, config: &str) -> String {
        let real: Vec<_> = self.instances.iter().map(|instance| instance.address.to_string()).collect();
        let pairs: Vec<_> = self.addresses.into_iter().zip(real.iter().map(String::as_str)).collect();
        fitted(config, &pairs)
    }

    /// nginx with the guide's file in `conf.d`.
    pub fn nginx(&self, program: &Path, file: &str) -> Front {
        let address = free_address();
        let file = fitted(&self.placed(file), &[("listen 80;", &format!("listen {address};"))]);
        self.run(program, &NGINX_ARGUMENTS, nginx_config(256, &file), address)
    }

    /// HAProxy with the guide's `haproxy.cfg`.
    pub fn haproxy(&self, program: &Path, file: &str) -> Front {
        let address = free_address();
        let places = [
            ("bind :80\n", format!("bind {address}\n")),
            ("bind 127.0.0.1:8404", format!("bind {}", free_address())),
            ("/run/haproxy/admin.sock", "unix@admin.sock".to_owned()),
        ];
        let places: Vec<_> = places.iter().map(|(old, new)| (*old, new.as_str())).collect();
        let file = fitted(&self.placed(file), &places);
        self.run(program, &["-db", "-f", "config"], file, address)
    }

    fn run(&self, program: &Path, arguments: &[&str], file: String, address: SocketAddr) -> Front {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ready = || TcpStream::connect(address).map(drop);
        let program = Program::start_in(directory, program, arguments, ("config", file), ready);
        Front { address, _program: program }
    }

    /// The gateway with the guide's `homing.toml`. All of a site's have the same keys.
    pub fn gateway(&self, config: &str) -> Gateway {
        let listen = config.lines().next().expect("a first line");
        assert!(listen.starts_with("listen = "), "{config}");
        let keys = self.keys.path().join("homing.keys");
        let places =
            [(listen, "listen = [\"127.0.0.1:0\"]"), ("/var/lib/homing/homing.keys", keys.to_str().expect("UTF-8"))];
        // Several gateways run at once.
        let admin = free_address().to_string();
        Gateway::with(&fitted(&self.placed(config), &places).replace("127.0.0.1:9090", &admin))
    }

    /// The users with a session from `front`, some at each instance.
    pub fn settle(&self, mut guests: Vec<Guest>, front: SocketAddr) -> Vec<Guest> {
        guests.iter_mut().for_each(|guest| guest.arrive(front));
        for instance in &self.instances {
            assert!(guests.iter().any(|guest| guest.home == instance.name), "nobody is at home on {}", instance.name);
        }
        guests
    }

    /// A change-over as the guides have it: from `before`, where `guests` get their sessions, to the gateway by
    /// `after`, and to the final configuration, when nothing has to agree any more. Returns all users with a session,
    /// later ones too. `strange` are configurations with which sessions are lost.
    pub fn change_over(
        &self,
        before: &Front,
        guests: Vec<Guest>,
        after: &str,
        settled: &str,
        strange: &[&str],
    ) -> Vec<Guest> {
        let mut guests = self.settle(guests, before.address);
        let without_ours = guests.clone();

        let gateway = self.gateway(after);
        assert_eq!(astray(&mut guests, gateway.address()), 0, "lost on the way in");
        assert!(guests.iter().all(Guest::has_ours));
        // Both serve, and users reach either.
        assert_eq!(astray(&mut guests, before.address), 0, "lost while both serve");
        assert_eq!(astray(&mut guests, gateway.address()), 0, "lost while both serve");

        let settled = self.gateway(settled);
        let newcomers = self.settle((GUESTS..GUESTS + 30).map(Guest::new).collect(), settled.address());
        guests.extend(newcomers);
        assert_eq!(astray(&mut guests, settled.address()), 0, "lost when nothing agrees any more");

        for strange in strange {
            let lost = astray(&mut without_ours.clone(), self.gateway(strange).address());
            assert!(lost > usize::from(GUESTS) / 3, "{lost} lost by {strange}");
        }
        guests
    }
}
