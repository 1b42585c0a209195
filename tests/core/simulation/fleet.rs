//! The processes behind the upstreams, and their own logs of what they ran.

use crate::simulation::world::Event;

/// What a process does to its requests, besides answering them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mood {
    #[default]
    Well,
    /// Wants no new sessions, and says so to probes.
    Full,
    /// Answers requests 500; probes too, where `probes`.
    Failing { probes: bool },
    /// Takes so many times as long.
    Slow(u64),
    /// Its queue of connections overflows now and then: some time out.
    Lossy,
}

/// One address, with the process that runs there.
#[derive(Default)]
pub struct Site {
    /// Which process; the next has another number.
    pub incarnation: u16,
    pub is_up: bool,
    /// Stopped by a signal: its kernel takes connections, it does nothing.
    pub is_hung: bool,
    pub mood: Mood,
    /// Sent to it and not done, as numbers of requests.
    pub in_flight: Vec<usize>,
    /// What a hung process will do when it goes on.
    pub frozen: Vec<Event>,
}

#[derive(Default)]
pub struct Fleet {
    pub sites: Vec<Site>,
    /// How often each request was run, by its number.
    log: Vec<u8>,
    incarnations: u16,
}

impl Fleet {
    /// A new address with a process behind it.
    pub fn open(&mut self) -> usize {
        self.sites.push(Site::default());
        let site = self.sites.len() - 1;
        self.start(site);
        site
    }

    pub fn start(&mut self, site: usize) {
        self.incarnations += 1;
        let old = &mut self.sites[site];
        *old = Site { incarnation: self.incarnations, is_up: true, mood: old.mood, ..Site::default() };
    }

    /// Ends a process, and returns the requests that broke with it.
    pub fn kill(&mut self, site: usize) -> Vec<usize> {
        let site = &mut self.sites[site];
        site.is_up = false;
        site.is_hung = false;
        site.frozen.clear();
        std::mem::take(&mut site.in_flight)
    }

    /// Whether the process does something now; what it would do is kept for when it goes on.
    pub fn goes_on(&mut self, site: usize, event: Event) -> bool {
        let site = &mut self.sites[site];
        if site.is_hung {
            site.frozen.push(event);
        }
        !site.is_hung
    }

    /// A process begins to work on a request; returns how often that has happened to it.
    pub fn run(&mut self, request: usize) -> u8 {
        self.log.resize(self.log.len().max(request + 1), 0);
        self.log[request] += 1;
        self.log[request]
    }

    pub fn leave(&mut self, site: usize, request: usize) {
        self.sites[site].in_flight.retain(|other| *other != request);
    }
}
