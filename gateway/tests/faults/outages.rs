//! All instances are down, and return: retries must not multiply the load.

use crate::fleet::{Fleet, Front};
use crate::judge::executions;
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::record::{self, Kind, Record};
use crate::session::{Session, Visit};
use crate::support::test;
use crate::{scenario, size};

const SECOND: u64 = 1_000_000;

/// Requests that the instances saw in a span of time.
fn arrived(journals: &[Vec<Record>], from: u64, until: u64) -> usize {
    let visits = journals.iter().flatten().filter(|record| matches!(record.kind, Kind::Get | Kind::Post));
    visits.filter(|record| (from..until).contains(&record.at)).count()
}

/// Requests of the clients that may have reached an instance in a span of time.
fn asked(visits: &[Visit], from: u64, until: u64) -> usize {
    visits.iter().filter(|visit| visit.began < until && visit.ended >= from).count()
}

/// The instances get at most 1.2 times the clients' requests, and 10 a second.
fn assert_not_amplified(visits: &[Visit], journals: &[Vec<Record>], from: u64, until: u64) {
    let (asked, arrived) = (asked(visits, from, until), arrived(journals, from, until));
    let most = 1.2 * asked as f64 + 10.0 * (until - from) as f64 / SECOND as f64;
    assert!(asked > 0 && arrived as f64 <= most, "{asked} requests became {arrived}");
}

fn pace() -> Pace {
    Pace { connections: 64, rate: size(1000, 3000) }
}

#[test]
fn a_recovery_brings_no_more_than_there_is() {
    scenario(async {
        let mut fleet = Fleet::start(5, Mode::Serve);
        let gateway = Front::gateway(HEALTH, &fleet);
        let load = Load::start(gateway.address, Session::several(0..size(500, 5000)), pace());
        load.visits(1).await;
        let died = record::now();
        for index in 0..5 {
            fleet.kill(index);
        }
        load.visits(OFTEN).await;
        let back = record::now();
        (0..5).for_each(|index| fleet.begin(index));
        load.visits(2 * OFTEN).await;
        let end = record::now();
        let (_, visits) = load.stop().await;

        let journals = fleet.journals();
        assert_not_amplified(&visits, &journals, died, end);
        assert_not_amplified(&visits, &journals, back, end);
        let twice: Vec<_> = executions(&journals).into_iter().filter(|(_, times)| *times > 2).collect();
        assert!(twice.is_empty(), "executed more than twice: {twice:?}");
        for (journal, instance) in journals.iter().zip(&fleet.instances) {
            let start = journal.iter().rfind(|record| record.kind == Kind::Start).expect("its start").at;
            let arrived = arrived(std::slice::from_ref(journal), start, start + SECOND);
            let share = asked(&visits, start, start + SECOND) as f64 / 5.0;
            assert!(arrived as f64 <= 2.0 * share, "{}: {arrived} in its first second, of {share}", instance.name);
        }
        let last_round = visits.iter().filter(|visit| visit.began > end - SECOND / 2);
        let failed: Vec<_> = last_round.filter(|visit| visit.instance().is_none()).collect();
        assert!(failed.is_empty(), "all are back, and {} still fail: {:?}", failed.len(), failed[0]);
    });
}

/// Instances that accept and reset show every try to reach them.
#[test]
fn tries_are_bounded_while_all_instances_fail() {
    scenario(async {
        let fleet = Fleet::start(5, Mode::Serve);
        let gateway = Front::gateway(HEALTH, &fleet);
        let load = Load::start(gateway.address, Session::several(0..size(500, 5000)), pace());
        load.visits(1).await;
        (0..5).for_each(|index| fleet.set(index, Mode::Reset));
        let from = record::now();
        load.visits(2 * OFTEN).await;
        let until = record::now();
        let (_, visits) = load.stop().await;
        assert_not_amplified(&visits, &fleet.journals(), from, until);
    });
}

const HEALTH: &str = "[health]\npath = \"/healthz\"\ninterval = \"100ms\"\ntimeout = \"500ms\"\n\
                      [outlier]\nbase = \"200ms\"\nmax = \"1s\"";
