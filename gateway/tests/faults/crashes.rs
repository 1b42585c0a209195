//! `kill -9`, and what it may cost: only sessions of the dead instance move, and each moves once.

use crate::support::test;
use std::time::Duration;

use tokio::time::sleep;

use crate::breaks::most_moves;
use crate::fleet::{Fleet, Front};
use crate::judge::{Death, Report};
use crate::kills::{AT_WORK, Kills};
use crate::load::{Load, Pace};
use crate::session::Session;
use crate::{scenario, size};

/// What is used up in the first crashes must not be missing in the next: short penalties for a process that is back.
const SETTINGS: &str = "[health]\ninterval = \"100ms\"\n[outlier]\nbase = \"200ms\"\nmax = \"1s\"";

/// How long it is dead, and how long it lives.
const FLAP: Duration = Duration::from_millis(200);

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

#[test]
fn a_session_moves_at_most_once_however_its_instance_flaps() {
    scenario(async {
        let mut fleet = Fleet::start(5, AT_WORK);
        let gateway = Front::gateway(SETTINGS, &fleet);
        let front = gateway.address;
        let pace = Pace { connections: 32, rate: size(800, 2000) };
        let sessions = size(400, 4000);
        let early = Load::start(front, Session::several(0..sessions), pace);
        early.visits(1).await;
        // New sessions come while it flaps: those may be placed on it, and leave it once.
        let late = Load::start(front, Session::several(sessions..2 * sessions), pace);
        let mut deaths = Vec::new();
        for _ in 0..size(12, 150) {
            deaths.push(Death { at: fleet.kill(0), instance: "app-1".to_owned() });
            sleep(FLAP).await;
            fleet.begin(0);
            sleep(FLAP).await;
        }
        let ((_, mut visits), (_, others)) = (early.stop().await, late.stop().await);
        visits.extend(others);
        let report = Report::of(&visits, &fleet.journals(), &deaths);
        let faults = [report.failed_gets, report.wrong, report.repeated_posts, report.unknown, report.strayed];
        assert_eq!(faults, [0; 5], "{report:#?}");
        assert_eq!(most_moves(&visits), 1, "moves of a session");
    });
}
