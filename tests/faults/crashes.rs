//! `kill -9`, and what it may cost: nobody but the sessions of the dead instance, and those one move.

use crate::fleet::{Fleet, Front};
use crate::kills::{AT_WORK, Kills};
use crate::load::Pace;
use crate::{scenario, size};

/// What is used up in the first crashes must not be missing in the next: short penalties for a process that is back.
const SETTINGS: &str = "";

#[test]
fn a_crash_moves_its_own_sessions_once_and_costs_no_answer() {
    scenario(async {
        let mut fleet = Fleet::start(5, AT_WORK);
        let front = Front::gateway(SETTINGS, &fleet);
        let kills = Kills {
            sessions: size(1000, 10_000),
            pace: Pace { connections: 64, rate: size(2000, 4000) },
            times: size(3, 20),
        };
        let report = kills.run(&mut fleet, front.address).await;
        assert!(report.bereft > 0, "nobody was on a dead instance: {report:?}");
        println!("{report:?}");
        report.assert_spared();
    });
}
