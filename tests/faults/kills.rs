//! Instances are killed under load, one after the other, each started again before the next one dies.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::fleet::Fleet;
use crate::judge::{Death, Report};
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::session::{Link, Session};

/// Ends a run in which an instance that is back gets no new session.
const GUARD: Duration = Duration::from_secs(120);

/// Visits take some milliseconds, so that some of them are under way when their instance dies.
pub const AT_WORK: Mode = Mode::Slow(5);

/// Sessions that only look who takes new ones have numbers from here on.
pub const SCOUTS: u32 = 1 << 30;

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
        let mut scouts = SCOUTS;
        for turn in 0..self.times {
            let victim = turn % fleet.instances.len();
            let instance = fleet.instances[victim].name.clone();
            deaths.push(Death { at: fleet.kill(victim), instance: instance.clone() });
            load.visits(OFTEN).await;
            fleet.begin(victim);
            let found = timeout(GUARD, placed_on(front, &instance, &mut scouts)).await;
            found.unwrap_or_else(|_| panic!("{instance} is back and gets no new session"));
            load.visits(OFTEN).await;
        }
        let (_, visits) = load.stop().await;
        Report::of(&visits, &fleet.journals(), &deaths)
    }
}

/// Returns when a new session is placed on that instance.
pub async fn placed_on(front: SocketAddr, instance: &str, scouts: &mut u32) {
    loop {
        let mut scout = Session::new(*scouts);
        *scouts += 1;
        scout.visit(&mut Link::new(front)).await;
        if scout.home.as_deref() == Some(instance) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}
