//! An instance that hangs or is full: stopped (SIGSTOP), so that the kernel still accepts connections and requests for
//! it without a response; or full, as it reports.

use crate::support::test;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::fleet::{Fleet, Front};
use crate::judge::{Report, moves};
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::scouts::Scouts;
use crate::session::{Link, Session, Visit};
use crate::{scenario, size};

const PACE: Pace = Pace { connections: 16, rate: 800 };

/// A request to the stopped instance waits for it, so each of its sessions has a connection of its own.
const EACH_ITS_OWN: Pace = Pace { connections: 1000, rate: 400 };

/// Round robin, so that only its health keeps new sessions away; the load of a stopped instance would too.
const IN_TURN: &str = "[policy]\nname = \"round_robin\"";

const HEALTH: &str = "[health]\ninterval = \"100ms\"\ntimeout = \"500ms\"\nsilence = \"500ms\"\n\
                      [outlier]\nmin_requests = 5\nbase = \"200ms\"\nmax = \"1s\"\n[slow_start]\nwindow = \"0s\"";

/// How long a user waits before the next attempt.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ends a test in which no session ever moves.
const GUARD: Duration = Duration::from_secs(60);

/// When the sessions of the stopped instance visit it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visits {
    /// As soon as it is stopped, and they wait.
    AtOnce,
    /// When another instance responded to one of them.
    OnceOneHasMoved,
}

struct Seen {
    fleet: Fleet,
    /// How many sessions the stopped instance had.
    there: usize,
    /// Visits of those, and of all others.
    caught: Vec<Visit>,
    beside: Vec<Visit>,
    after: Vec<Visit>,
}

/// Stops the first of five for a while.
async fn stop_one(settings: &str, visits: Visits) -> Seen {
    let fleet = Fleet::start(5, Mode::Serve);
    let gateway = Front::gateway(&format!("{settings}\n{IN_TURN}"), &fleet);
    let front = gateway.address;
    let load = Load::start(front, Session::several(0..200), PACE);
    load.visits(1).await;
    let (sessions, _) = load.stop().await;
    let (mut there, elsewhere): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|session| session.home.as_deref() == Some("app-1"));
    let count = there.len();
    assert!(count > 20, "{count} sessions on it");

    fleet.pause(0);
    let elsewhere = Load::start(front, elsewhere, PACE);
    if visits == Visits::OnceOneHasMoved {
        until_moved(front, &mut there[0]).await;
        // The instance has been ejected.
        there.remove(0);
    }
    let there = Load::start(front, there, EACH_ITS_OWN);
    let mut scouts = Scouts::new(front);
    scouts.keep_away_from("app-1").await;
    elsewhere.visits(OFTEN).await;
    if visits == Visits::OnceOneHasMoved {
        there.visits(OFTEN).await;
    }
    // Other failures would show within this time.
    sleep(Duration::from_secs(size(1, 10))).await;
    fleet.resume(0);
    scouts.find("app-1").await;
    there.visits(OFTEN).await;
    let ((there, caught), (elsewhere, beside)) = (there.stop().await, elsewhere.stop().await);

    let count = there.len();
    let load = Load::start(front, there.into_iter().chain(elsewhere).collect(), PACE);
    load.visits(OFTEN).await;
    let (_, after) = load.stop().await;
    Seen { fleet, there: count, caught, beside, after }
}

/// A user who does not wait and tries again, until another instance responds.
async fn until_moved(front: SocketAddr, session: &mut Session) {
    let moved = timeout(GUARD, async {
        while session.home.as_deref() == Some("app-1") {
            // No response is expected at first.
            let _ = timeout(PATIENCE, session.visit(&mut Link::new(front))).await;
        }
    });
    moved.await.expect("its sessions are never moved");
}

impl Seen {
    fn assert_contained(&self) {
        let journals = self.fleet.journals();
        Report::of(&self.beside, &journals, &[]).assert_spared();
        Report::of(&self.after, &journals, &[]).assert_spared();
        let caught = Report::of(&self.caught, &journals, &[]);
        let faults = [caught.failed_gets, caught.failed_posts, caught.repeated_posts, caught.wrong, caught.unknown];
        assert_eq!(faults, [0; 5], "{caught:#?}");
    }
}

/// The probe is a mere connection, which the kernel accepts: that proves nothing.
#[test]
fn the_sessions_of_a_stopped_instance_wait_for_it_where_nothing_proves_it_dead() {
    scenario(async {
        let seen = stop_one(HEALTH, Visits::AtOnce).await;
        seen.assert_contained();
        let all: Vec<_> = seen.caught.iter().chain(&seen.after).cloned().collect();
        assert_eq!(moves(&all).len(), 0);
    });
}

#[test]
fn the_sessions_of_a_stopped_instance_move_once_where_its_probes_time_out() {
    scenario(async {
        let settings = HEALTH.replacen("[health]", "[health]\npath = \"/healthz\"", 1);
        let seen = stop_one(&settings, Visits::OnceOneHasMoved).await;
        seen.assert_contained();
        let mut homes: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for visit in &seen.caught {
            homes.entry(visit.session).or_default().extend(visit.instance());
        }
        for visit in &seen.after {
            homes.entry(visit.session).and_modify(|homes| homes.extend(visit.instance()));
        }
        assert_eq!(homes.len(), seen.there);
        for (session, homes) in homes {
            assert!(homes.len() == 1 && !homes.contains("app-1"), "session {session} was on {homes:?}");
        }
    });
}

/// The control: without health checks, new sessions go to the instance for as long as it is stopped.
#[test]
fn a_session_that_is_caught_is_noticed() {
    scenario(async {
        let fleet = Fleet::start(5, Mode::Serve);
        let blind = format!("[health]\nenabled = false\nsilence = \"0s\"\n{IN_TURN}");
        let gateway = Front::gateway(&blind, &fleet);
        fleet.pause(0);
        let caught = Scouts::new(gateway.address).any_strays_to("app-1").await;
        fleet.resume(0);
        assert!(caught, "a stopped instance caught nobody: the other tests prove nothing");
    });
}

/// A full instance reports it, and keeps serving its sessions.
#[test]
fn a_full_instance_keeps_its_sessions_and_takes_no_new_ones() {
    scenario(async {
        let fleet = Fleet::start(5, Mode::Serve);
        let full = HEALTH.replacen("[health]", "[health]\nprofile = \"wisej\"\npath = \"/healthz\"", 1);
        let gateway = Front::gateway(&format!("{full}\n{IN_TURN}"), &fleet);
        let load = Load::start(gateway.address, Session::several(0..200), PACE);
        load.visits(1).await;
        let mut scouts = Scouts::new(gateway.address);
        fleet.set(0, Mode::Full);
        scouts.keep_away_from("app-1").await;
        load.visits(OFTEN).await;
        fleet.set(0, Mode::Serve);
        scouts.find("app-1").await;
        let (_, visits) = load.stop().await;
        Report::of(&visits, &fleet.journals(), &[]).assert_spared();
    });
}
