//! Connections that break: refused, reset in the middle of a head or a body, or never answered.

use crate::fleet::{Fleet, Front};
use crate::judge::{Report, moves};
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::scenario;
use crate::session::{Outcome, Session, Visit};
use crate::support::test;

const PACE: Pace = Pace { connections: 16, rate: 1000 };

/// What the sessions of the first instance saw, and all others, while it failed and once it served again.
struct Seen {
    fleet: Fleet,
    failing: Vec<Visit>,
    beside: Vec<Visit>,
    after: Vec<Visit>,
}

/// Sessions get their pins, the first instance fails for some visits of each, and serves again.
async fn fail(settings: &str, mode: Mode) -> Seen {
    let fleet = Fleet::start(3, Mode::Serve);
    let gateway = Front::gateway(&format!("{settings}\n[policy]\nname = \"round_robin\""), &fleet);
    let front = gateway.address;
    let load = Load::start(front, Session::several(0..90), PACE);
    load.visits(1).await;
    let (sessions, _) = load.stop().await;
    let (there, elsewhere): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|session| session.home.as_deref() == Some("app-1"));
    assert!(!there.is_empty() && !elsewhere.is_empty());

    fleet.set(0, mode);
    let (there, elsewhere) = (Load::start(front, there, PACE), Load::start(front, elsewhere, PACE));
    there.visits(OFTEN).await;
    elsewhere.visits(OFTEN).await;
    let ((there, failing), (elsewhere, beside)) = (there.stop().await, elsewhere.stop().await);

    fleet.set(0, Mode::Serve);
    let load = Load::start(front, there.into_iter().chain(elsewhere).collect(), PACE);
    load.visits(OFTEN).await;
    let (_, after) = load.stop().await;
    Seen { fleet, failing, beside, after }
}

impl Seen {
    fn all(&self) -> Vec<Visit> {
        [&self.failing, &self.beside, &self.after].into_iter().flatten().cloned().collect()
    }

    /// Holds for every failure: no other session is disturbed, everything works afterwards, nothing runs twice that
    /// must not, and no truncated body looks complete.
    fn assert_contained(&self) {
        let journals = self.fleet.journals();
        Report::of(&self.beside, &journals, &[]).assert_spared();
        Report::of(&self.after, &journals, &[]).assert_spared();
        let all = Report::of(&self.all(), &journals, &[]);
        assert_eq!([all.repeated_posts, all.wrong, all.unknown], [0; 3], "{all:#?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    for mode in [Mode::CutHead, Mode::CutBody, Mode::CutChunks] {
        scenario(async {
            let seen = fail("", mode).await;
            seen.assert_contained();
            let failed = seen.failing.iter().filter(|visit| visit.instance().is_none()).count();
            assert_eq!(failed, seen.failing.len(), "{mode}: an answer of which a part was lost");
            // A broken exchange is no proof that the instance is down: the pins stay.
            assert_eq!(moves(&seen.all()).len(), 0, "{mode}");
        });
    }
}

#[test]
fn a_request_that_is_reset_is_answered_elsewhere_if_it_may_be() {
    scenario(async {
        let seen = fail("", Mode::Reset).await;
        seen.assert_contained();
        let failing = Report::of(&seen.failing, &seen.fleet.journals(), &[]);
        assert_eq!(failing.failed_gets, 0, "{failing:#?}");
        assert!(most_moves(&seen.all()) <= 1);
    });
}

/// The largest number of moves of one session.
pub fn most_moves(visits: &[Visit]) -> usize {
    let mut counts = std::collections::HashMap::<u32, usize>::new();
    for change in moves(visits) {
        *counts.entry(change.session).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

#[test]
fn an_unanswered_request_gets_an_error_and_no_other_waits() {
    scenario(async {
        let seen = fail("[timeouts]\nresponse = \"500ms\"", Mode::Mute).await;
        seen.assert_contained();
        let told = |visit: &&Visit| matches!(visit.outcome, Outcome::Refused(status) if status == 504);
        assert!(seen.failing.iter().any(|visit| told(&visit)), "{:#?}", seen.failing);
        let lost: Vec<_> = seen.failing.iter().filter(|v| v.instance().is_none() && !told(v)).collect();
        assert!(lost.is_empty(), "{lost:#?}");
        assert!(most_moves(&seen.all()) <= 1);
    });
}

#[test]
fn a_refused_connection_costs_nothing() {
    scenario(async {
        let mut fleet = Fleet::start(3, Mode::Serve);
        let gateway = Front::gateway("", &fleet);
        let front = gateway.address;
        let load = Load::start(front, Session::several(0..90), PACE);
        load.visits(1).await;
        let (sessions, before) = load.stop().await;
        fleet.kill(0);
        let load = Load::start(front, sessions, PACE);
        load.visits(OFTEN).await;
        let (_, after) = load.stop().await;
        let failed: Vec<_> = after.iter().filter(|visit| visit.instance().is_none()).collect();
        assert!(failed.is_empty(), "a POST too can go elsewhere where nothing was sent: {failed:#?}");
        let all: Vec<_> = before.into_iter().chain(after).collect();
        assert_eq!(Report::of(&all, &fleet.journals(), &[]).repeated_posts, 0);
        assert!(moves(&all).iter().all(|change| change.from == "app-1"));
        assert_eq!(most_moves(&all), 1);
    });
}
