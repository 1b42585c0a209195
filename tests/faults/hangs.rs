//! An instance that is stopped (SIGSTOP): the kernel goes on to take connections and requests for it, and nobody
//! answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::fleet::{Fleet, Front};
use crate::judge::{Report, moves};
use crate::kills::{SCOUTS, placed_on};
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::session::{Link, Session, Visit};
use crate::{scenario, size};

const PACE: Pace = Pace { connections: 16, rate: 800 };

/// Whoever is caught by the stopped instance waits for it, so each of its sessions has a connection of its own.
const EACH_ITS_OWN: Pace = Pace { connections: 1000, rate: 400 };

/// In turn, so that nothing but its health keeps new sessions away: the load of a stopped instance would too.
const IN_TURN: &str = "[policy]\nname = \"round_robin\"";

const HEALTH: &str = "[health]\ninterval = \"100ms\"\ntimeout = \"500ms\"\nsilence = \"500ms\"\n\
                      [outlier]\nmin_requests = 5\nbase = \"200ms\"\nmax = \"1s\"\n[slow_start]\nwindow = \"0s\"";

/// A new session that is not answered for so long has been caught.
const PATIENCE: Duration = Duration::from_secs(2);

/// New sessions in a row that were answered: then the instance takes no more of them.
const IN_A_ROW: u32 = 50;

/// Ends a run in which the stopped instance takes new sessions for ever.
const GUARD: Duration = Duration::from_secs(60);

struct Seen {
    fleet: Fleet,
    /// Visits of the sessions of the stopped instance, and of all others.
    caught: Vec<Visit>,
    beside: Vec<Visit>,
    after: Vec<Visit>,
}

/// The visit of a new session, unless nobody answers it.
async fn scout(front: SocketAddr, number: &mut u32) -> bool {
    *number += 1;
    timeout(PATIENCE, Session::new(*number).visit(&mut Link::new(front))).await.is_ok()
}

/// Waits until new sessions are no longer caught. Whether none is from then on.
async fn is_avoided(front: SocketAddr, number: &mut u32) -> bool {
    let mut answered = 0;
    while answered < IN_A_ROW {
        answered = if scout(front, number).await { answered + 1 } else { 0 };
    }
    for _ in 0..2 * IN_A_ROW {
        if !scout(front, number).await {
            return false;
        }
    }
    true
}

/// Stops the first of five for a while.
async fn stop_one(settings: &str) -> Seen {
    let fleet = Fleet::start(5, Mode::Serve);
    let gateway = Front::gateway(&format!("{settings}\n{IN_TURN}"), &fleet);
    let front = gateway.address;
    let load = Load::start(front, Session::several(0..200), PACE);
    load.visits(1).await;
    let (sessions, _) = load.stop().await;
    let (there, elsewhere): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|session| session.home.as_deref() == Some("app-1"));
    assert!(there.len() > 20, "{} sessions on it", there.len());

    fleet.pause(0);
    let (there, elsewhere) = (Load::start(front, there, EACH_ITS_OWN), Load::start(front, elsewhere, PACE));
    let mut scouts = SCOUTS;
    let avoided = timeout(GUARD, is_avoided(front, &mut scouts)).await;
    assert_eq!(avoided, Ok(true), "new sessions are placed on an instance that answers nobody");
    elsewhere.visits(OFTEN).await;
    // What else there is to go wrong has this long.
    sleep(Duration::from_secs(size(1, 10))).await;
    fleet.resume(0);
    timeout(GUARD, placed_on(front, "app-1", &mut scouts)).await.expect("it is back and gets no new session");
    there.visits(OFTEN).await;
    let ((there, caught), (elsewhere, beside)) = (there.stop().await, elsewhere.stop().await);

    let load = Load::start(front, there.into_iter().chain(elsewhere).collect(), PACE);
    load.visits(OFTEN).await;
    let (_, after) = load.stop().await;
    Seen { fleet, caught, beside, after }
}

impl Seen {
    fn assert_contained(&self) {
        let journals = self.fleet.journals();
        Report::of(&self.beside, &journals, &[]).assert_spared();
        Report::of(&self.after, &journals, &[]).assert_spared();
        let caught = Report::of(&self.caught, &journals, &[]);
        assert_eq!([caught.repeated_posts, caught.wrong, caught.unknown], [0; 3], "{caught:#?}");
    }

    /// Of its sessions, from before the stop to after it.
    fn moves(&self) -> usize {
        let all: Vec<_> = self.caught.iter().chain(&self.after).cloned().collect();
        moves(&all).len()
    }
}

/// A connection is all that is asked for, and the kernel takes it: that is no proof of anything.
#[test]
fn the_sessions_of_a_stopped_instance_wait_for_it_where_nothing_proves_it_dead() {
    scenario(async {
        let seen = stop_one(HEALTH).await;
        seen.assert_contained();
        let caught = Report::of(&seen.caught, &seen.fleet.journals(), &[]);
        assert_eq!((caught.failed_gets, caught.failed_posts), (0, 0), "{caught:#?}");
        assert_eq!(seen.moves(), 0);
    });
}

#[test]
fn the_sessions_of_a_stopped_instance_move_once_where_its_probes_time_out() {
    scenario(async {
        let settings = HEALTH.replacen("[health]", "[health]\npath = \"/healthz\"", 1);
        let seen = stop_one(&settings).await;
        seen.assert_contained();
        let all: Vec<_> = seen.caught.iter().chain(&seen.after).cloned().collect();
        assert!(crate::breaks::most_moves(&all) <= 1);
    });
}

/// The control: without health, new sessions are caught for as long as the instance is stopped.
#[test]
fn a_session_that_is_caught_is_noticed() {
    scenario(async {
        let fleet = Fleet::start(5, Mode::Serve);
        let gateway = Front::gateway(IN_TURN, &fleet);
        fleet.pause(0);
        let mut scouts = SCOUTS;
        let mut answered = 0;
        while answered < IN_A_ROW && scout(gateway.address, &mut scouts).await {
            answered += 1;
        }
        fleet.resume(0);
        assert!(answered < IN_A_ROW, "a stopped instance caught nobody: the other tests prove nothing");
    });
}
