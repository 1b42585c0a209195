//! The processes of the upstreams, and their logs of the requests that they ran.

use crate::simulation::world::Event;

/// The behaviour of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Behaviour {
    #[default]
    Healthy,
    /// Reports to probes that it accepts no new sessions.
    Full,
    /// Responds to requests with 500, and to probes if `probes`.
    Failing { probes: bool },
    /// Takes this many times as long.
    Slow(u64),
    /// Its accept queue overflows at times: some connections time out.
    Lossy,
}

/// One address and its process.
#[derive(Default)]
pub struct Site {
    /// The number of the process; each new one has another.
    pub incarnation: u16,
    pub is_up: bool,
    /// Stopped by SIGSTOP: the kernel accepts connections, the process does nothing.
    pub is_hung: bool,
    pub behaviour: Behaviour,
    /// The numbers of the requests sent to it and not finished.
    pub in_flight: Vec<usize>,
    /// The events of a hung process, which happen when it continues.
    pub frozen: Vec<Event>,
}

#[derive(Default)]
pub struct Fleet {
    pub sites: Vec<Site>,
    /// How often each request ran, by its number.
    log: Vec<u8>,
    incarnations: u16,
}

impl Fleet {
    /// Adds an address with a process, and returns its index.
    pub fn open(&mut self) -> usize {
        self.sites.push(Site::default());
        let site = self.sites.len() - 1;
        self.start(site);
        site
    }

    pub fn start(&mut self, site: usize) {
        self.incarnations += 1;
        let old = &mut self.sites[site];
        *old = Site { incarnation: self.incarnations, is_up: true, behaviour: old.behaviour, ..Site::default() };
    }

    /// Ends a process, and returns the requests that break off.
    pub fn kill(&mut self, site: usize) -> Vec<usize> {
        let site = &mut self.sites[site];
        site.is_up = false;
        site.is_hung = false;
        site.frozen.clear();
        std::mem::take(&mut site.in_flight)
    }

    /// Whether the process is running. If it hangs, keeps the event until it continues.
    pub fn goes_on(&mut self, site: usize, event: Event) -> bool {
        let site = &mut self.sites[site];
        if site.is_hung {
            site.frozen.push(event);
        }
        !site.is_hung
    }

    /// Counts a run of a request, and returns how often it has run.
    pub fn run(&mut self, request: usize) -> u8 {
        self.log.resize(self.log.len().max(request + 1), 0);
        self.log[request] += 1;
        self.log[request]
    }

    pub fn leave(&mut self, site: usize, request: usize) {
        self.sites[site].in_flight.retain(|other| *other != request);
    }
}
