//! What random faults may cost, fault by fault, and a judge that excuses nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use hyper::StatusCode;

use crate::judge::{Report, moves};
use crate::mode::Mode;
use crate::record::Record;
use crate::session::{Outcome, Visit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is killed, and started again.
    Kill,
    /// It is stopped and continued: requests to it wait.
    Stop,
    Mode(Mode),
}

/// An instance is in trouble: from a moment before it failed until a new session was placed on it again. Microseconds.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Among the names.
    pub instance: usize,
    pub fault: Fault,
    pub since: u64,
    pub until: u64,
}

/// Troubles that begin together. It lasts until the next one begins.
#[derive(Clone, Debug)]
pub struct Turn {
    pub began: u64,
    pub troubles: Vec<Trouble>,
}

/// All that is known of a run.
#[derive(Clone)]
pub struct Evidence {
    /// Of the instances, in the order of their journals.
    pub names: Vec<String>,
    pub journals: Vec<Vec<Record>>,
    pub visits: Vec<Visit>,
    pub turns: Vec<Turn>,
}

#[derive(Debug)]
pub struct Verdict {
    /// What failed there has no excuse.
    pub answers: Report,
    /// GETs that are excused: those whose response broke off after its head, and those that the proxy refused.
    pub cut_gets: usize,
    pub refused_gets: usize,
    /// POSTs that are excused.
    pub failed_posts: usize,
    pub moves: usize,
    /// Sessions that moved more often in a turn than instances were in trouble.
    pub restless: usize,
    /// Sessions that came back in a turn to an instance that they had left in it.
    pub returned: usize,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::Stop,
        Self::Mode(Mode::Mute),
        Self::Mode(Mode::Reset),
        Self::Mode(Mode::CutHead),
        Self::Mode(Mode::CutBody),
        Self::Mode(Mode::CutChunks),
        Self::Mode(Mode::Full),
        Self::Mode(Mode::Slow(200)),
    ];

    /// Whether it can be taken for death. An answer that breaks off proves none, as probes are still answered.
    fn moves_sessions(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::Mode(Mode::Mute | Mode::Reset))
    }

    /// Whether requests that it was sent can remain without an answer.
    fn loses_requests(self) -> bool {
        !matches!(self, Self::Stop | Self::Mode(Mode::Full | Mode::Slow(_) | Mode::Serve))
    }

    /// Whether a connection to it ends before anything is answered. Then a GET is sent to another, and to no third.
    fn hangs_up(self) -> bool {
        matches!(self, Self::Kill | Self::Mode(Mode::Reset))
    }

    /// Whether a GET that it was sent can end so.
    fn explains(self, outcome: &Outcome) -> bool {
        match (outcome, self) {
            (Outcome::Cut(_), Self::Kill | Self::Mode(Mode::CutBody | Mode::CutChunks)) => true,
            (Outcome::Refused(status), Self::Mode(Mode::CutHead)) => *status == StatusCode::BAD_GATEWAY,
            (Outcome::Refused(status), Self::Mode(Mode::Mute)) => *status == StatusCode::GATEWAY_TIMEOUT,
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Stop => f.write_str("stop"),
            Self::Mode(mode) => mode.fmt(f),
        }
    }
}

impl Trouble {
    fn meets(&self, since: u64, until: u64) -> bool {
        self.since <= until && since <= self.until
    }
}

impl Evidence {
    pub fn judge(&self) -> Verdict {
        let mut verdict = self.judge_answers();
        self.judge_moves(&mut verdict);
        verdict
    }

    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        self.turns.iter().flat_map(|turn| &turn.troubles)
    }

    fn judge_answers(&self) -> Verdict {
        let failed: Vec<&Visit> = self.visits.iter().filter(|visit| visit.instance().is_none()).collect();
        let ids: HashSet<&str> = failed.iter().map(|visit| visit.id.as_str()).collect();
        let sent: HashSet<(usize, &str)> = (self.journals.iter().enumerate())
            .flat_map(|(instance, journal)| journal.iter().map(move |record| (instance, record.id.as_str())))
            .filter(|(_, id)| ids.contains(id))
            .collect();
        let (excused, guilty): (Vec<_>, Vec<_>) = failed.into_iter().partition(|visit| self.excuses(visit, &sent));
        let ids: HashSet<&str> = excused.iter().map(|visit| visit.id.as_str()).collect();
        let mut answers = Report::of_answers(&self.visits, &self.journals, |visit| ids.contains(visit.id.as_str()));
        for visit in guilty.into_iter().filter(|visit| visit.post) {
            answers.note(|| format!("no trouble explains {visit:?}"));
        }
        let failed_posts = excused.iter().filter(|visit| visit.post).count();
        let cut_gets = excused.iter().filter(|v| !v.post && matches!(v.outcome, Outcome::Cut(_))).count();
        let refused_gets = excused.len() - failed_posts - cut_gets;
        Verdict { answers, cut_gets, refused_gets, failed_posts, moves: 0, restless: 0, returned: 0 }
    }

    fn excuses(&self, visit: &Visit, sent: &HashSet<(usize, &str)>) -> bool {
        let during = || self.troubles().filter(|trouble| trouble.meets(visit.began, visit.ended));
        if visit.post {
            return during().any(|trouble| trouble.fault.loses_requests());
        }
        let had = |trouble: &Trouble| sent.contains(&(trouble.instance, visit.id.as_str()));
        let hung_up = || during().filter(|trouble| trouble.fault.hangs_up()).map(|trouble| trouble.instance);
        during().any(|trouble| trouble.fault.explains(&visit.outcome) && had(trouble))
            || (visit.outcome == Outcome::Refused(StatusCode::BAD_GATEWAY)
                && hung_up().collect::<BTreeSet<_>>().len() > 1)
    }

    fn judge_moves(&self, verdict: &mut Verdict) {
        let moves = moves(&self.visits);
        verdict.moves = moves.len();
        let mut by_turn = BTreeMap::<_, Vec<_>>::new();
        for change in &moves {
            let explains = |trouble: &Trouble| {
                trouble.fault.moves_sessions()
                    && trouble.meets(change.since, change.at)
                    && self.names[trouble.instance] == change.from
            };
            if !self.troubles().any(explains) {
                verdict.answers.strayed += 1;
                verdict.answers.note(|| format!("strayed: {change:?}"));
            }
            let turn = self.turns.partition_point(|turn| turn.began <= change.at);
            by_turn.entry((turn, change.session)).or_default().push(change);
        }
        for ((turn, _), moves) in by_turn {
            let most = turn.checked_sub(1).map_or(0, |turn| self.turns[turn].troubles.len());
            let restless = moves.len() > most;
            let returned = (1..moves.len()).any(|later| moves[..later].iter().any(|left| left.from == moves[later].to));
            verdict.restless += usize::from(restless);
            verdict.returned += usize::from(returned);
            if restless || returned {
                verdict.answers.note(|| format!("in one turn, with {most} in trouble: {moves:?}"));
            }
        }
    }
}

impl Verdict {
    /// Failed GETs and POSTs, wrong answers, unknown ones, repeated POSTs, strayed, restless and returned sessions.
    pub fn faults(&self) -> [usize; 8] {
        let Report { failed_gets, failed_posts, wrong, unknown, repeated_posts, strayed, .. } = self.answers;
        [failed_gets, failed_posts, wrong, unknown, repeated_posts, strayed, self.restless, self.returned]
    }
}

/// The controls.
mod controls {
    use super::*;
    use crate::record::Kind;
    use crate::support::test;

    fn refused() -> Outcome {
        Outcome::Refused(StatusCode::BAD_GATEWAY)
    }

    fn cut() -> Outcome {
        Outcome::Cut("reset".to_owned())
    }

    fn turn(began: u64, troubles: &[(usize, Fault)]) -> Turn {
        let trouble =
            |(instance, fault): &_| Trouble { instance: *instance, fault: *fault, since: began, until: began + 50 };
        Turn { began, troubles: troubles.iter().map(trouble).collect() }
    }

    /// `app-1` is killed at 100, and its session moves; then `app-2` cuts bodies at 200 and is slow at 300, and it stays.
    fn evidence() -> Evidence {
        let turns = vec![
            turn(100, &[(0, Fault::Kill)]),
            turn(200, &[(1, Fault::Mode(Mode::CutBody))]),
            turn(300, &[(1, Fault::Mode(Mode::Slow(200)))]),
        ];
        let names = (1..=3).map(|number| format!("app-{number}")).collect();
        let mut evidence = Evidence { names, journals: vec![Vec::new(); 3], visits: Vec::new(), turns };
        evidence.answered(10, 0);
        evidence.ended(100, true, refused(), &[]);
        evidence.answered(120, 1);
        evidence.ended(220, false, cut(), &[1]);
        evidence.answered(320, 1);
        evidence
    }

    impl Evidence {
        fn answered(&mut self, began: u64, instance: usize) {
            self.answered_by(began, instance, &[instance]);
        }

        /// In the name of any instance.
        fn answered_by(&mut self, began: u64, instance: usize, by: &[usize]) {
            let outcome = Outcome::Answered(self.names[instance].clone());
            self.ended(began, false, outcome, by);
        }

        fn ended(&mut self, began: u64, post: bool, outcome: Outcome, by: &[usize]) {
            let id = format!("/visit/1/{began}");
            let kind = if post { Kind::Post } else { Kind::Get };
            by.iter().for_each(|index| self.journals[*index].push(Record { at: began, kind, id: id.clone() }));
            self.visits.push(Visit { session: 1, id, post, began, ended: began + 5, outcome });
        }
    }

    #[test]
    fn what_trouble_explains_is_excused() {
        let verdict = evidence().judge();
        assert_eq!(verdict.faults(), [0; 8], "{verdict:#?}");
        assert_eq!([verdict.moves, verdict.cut_gets, verdict.refused_gets, verdict.failed_posts], [1, 1, 0, 1]);
    }

    #[test]
    fn what_no_trouble_explains_is_noticed() {
        type Spoil = fn(&mut Evidence);
        let cases: [(&str, Spoil, [usize; 8]); 10] = [
            (
                "a GET that is refused while its instance is killed",
                |it| it.ended(130, false, refused(), &[0]),
                [1, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                "a GET that is cut by an instance without trouble",
                |it| it.ended(230, false, cut(), &[2]),
                [1, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                "a GET that breaks off before its head is there",
                |it| it.ended(230, false, Outcome::Broken("reset".to_owned()), &[1]),
                [1, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                "a POST that fails while nothing is lost",
                |it| it.ended(330, true, refused(), &[1]),
                [0, 1, 0, 0, 0, 0, 0, 0],
            ),
            (
                "an answer that is wrong",
                |it| it.ended(230, false, Outcome::Wrong("half of it".to_owned()), &[1]),
                [1, 0, 1, 0, 0, 0, 0, 0],
            ),
            ("an answer that nobody gave", |it| it.answered_by(330, 1, &[]), [0, 0, 0, 1, 0, 0, 0, 0]),
            (
                "a POST whose failure is excused, and that was executed twice",
                |it| it.ended(130, true, refused(), &[0, 1]),
                [0, 0, 0, 0, 1, 0, 0, 0],
            ),
            ("a move away from an instance that is slow", |it| it.answered(330, 2), [0, 0, 0, 0, 0, 1, 0, 0]),
            (
                "a second move in a turn of one trouble",
                |it| {
                    it.visits.retain(|visit| visit.began < 200);
                    let other = Trouble { instance: 1, fault: Fault::Kill, since: 50, until: 130 };
                    it.turns.insert(0, Turn { began: 50, troubles: vec![other] });
                    it.answered(140, 2);
                },
                [0, 0, 0, 0, 0, 0, 1, 0],
            ),
            (
                "a return to where it came from",
                |it| {
                    it.turns[2] = turn(300, &[(1, Fault::Stop), (2, Fault::Stop)]);
                    it.answered(330, 2);
                    it.answered(340, 1);
                },
                [0, 0, 0, 0, 0, 0, 0, 1],
            ),
        ];
        for (what, spoil, faults) in cases {
            let mut evidence = evidence();
            spoil(&mut evidence);
            let verdict = evidence.judge();
            assert_eq!(verdict.faults(), faults, "{what}: {verdict:#?}");
        }
    }
}
