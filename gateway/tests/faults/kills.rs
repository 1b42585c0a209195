//! Instances are killed under load, one after the other, each started again before the next one dies.

use std::net::SocketAddr;

use crate::fleet::Fleet;
use crate::judge::{Death, Report};
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::scouts::Scouts;
use crate::session::Session;

/// Visits take some milliseconds, so that some of them are under way when their instance dies.
pub const AT_WORK: Mode = Mode::Slow(20);

#[derive(Clone, Copy, Debug)]
pub struct Kills {
    pub sessions: u32,
    pub pace: Pace,
    pub times: usize,
}

impl Kills {
    pub async fn run(self, fleet: &mut Fleet, front: SocketAddr) -> Report {
        let load = Load::start(front, Session::several(0..self.sessions), self.pace);
        load.visits(1).await;
        let mut deaths = Vec::new();
        let mut scouts = Scouts::new(front);
        for turn in 0..self.times {
            let victim = turn % fleet.instances.len();
            let instance = fleet.instances[victim].name.clone();
            deaths.push(Death { at: fleet.kill(victim), instance: instance.clone() });
            load.visits(OFTEN).await;
            fleet.begin(victim);
            scouts.find(&instance).await;
            load.visits(OFTEN).await;
        }
        let (_, visits) = load.stop().await;
        Report::of(&visits, &fleet.journals(), &deaths)
    }
}
