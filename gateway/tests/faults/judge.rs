//! What a run came to, by what the sessions saw and by what the instances wrote down.

use std::collections::{BTreeMap, HashMap};

use crate::record::{Kind, Record};
use crate::session::{Outcome, Visit};

/// An instance died.
#[derive(Clone, Debug)]
pub struct Death {
    pub instance: String,
    pub at: u64,
}

/// A session was answered by one instance, and next by another.
#[derive(Clone, Debug)]
pub struct Move {
    pub session: u32,
    pub from: String,
    pub to: String,
    /// When the last visit that the old one answered began.
    pub since: u64,
    /// When the first that the new one answered began, and when it ended.
    pub asked: u64,
    pub at: u64,
}

#[derive(Debug, Default)]
pub struct Report {
    pub visits: usize,
    /// GETs and POSTs without a whole answer.
    pub failed_gets: usize,
    pub failed_posts: usize,
    /// Answers that look whole and are not.
    pub wrong: usize,
    /// POSTs that were executed more than once.
    pub repeated_posts: usize,
    /// Answers that no instance knows of.
    pub unknown: usize,
    /// Sessions on an instance when it died, death by death; those of them that moved once, and more than once.
    pub bereft: usize,
    pub moved_once: usize,
    pub moved_again: usize,
    /// Moves away from an instance that lived.
    pub strayed: usize,
    /// The longest that a visit took, in milliseconds.
    pub longest: u64,
    /// The first of what went wrong, for the reader.
    pub examples: Vec<String>,
}

/// All moves, session by session.
pub fn moves(visits: &[Visit]) -> Vec<Move> {
    let mut sessions: BTreeMap<u32, Vec<&Visit>> = BTreeMap::new();
    for visit in visits {
        sessions.entry(visit.session).or_default().push(visit);
    }
    let mut moves = Vec::new();
    for (session, mut visits) in sessions {
        visits.sort_by_key(|visit| visit.began);
        let mut last: Option<(&str, u64)> = None;
        for visit in visits {
            let Some(instance) = visit.instance() else { continue };
            if let Some((from, since)) = last.filter(|(from, _)| *from != instance) {
                let (from, to) = (from.to_owned(), instance.to_owned());
                moves.push(Move { session, from, to, since, asked: visit.began, at: visit.ended });
            }
            last = Some((instance, visit.began));
        }
    }
    moves
}

/// The instance of each session at a moment: the last one that responded to it.
pub fn homes(visits: &[Visit], at: u64) -> HashMap<u32, &str> {
    let mut last: HashMap<u32, &Visit> = HashMap::new();
    for visit in visits.iter().filter(|visit| visit.ended <= at && visit.instance().is_some()) {
        let known = last.entry(visit.session).or_insert(visit);
        if known.ended < visit.ended {
            *known = visit;
        }
    }
    last.into_iter().filter_map(|(session, visit)| Some((session, visit.instance()?))).collect()
}

/// How often each request was executed, over all instances.
pub fn executions(journals: &[Vec<Record>]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for record in journals.iter().flatten().filter(|record| matches!(record.kind, Kind::Get | Kind::Post)) {
        *counts.entry(record.id.as_str()).or_default() += 1;
    }
    counts
}

impl Report {
    /// The verdict on a run in which these instances died, in this order.
    pub fn of(visits: &[Visit], journals: &[Vec<Record>], deaths: &[Death]) -> Self {
        let mut report = Self::of_answers(visits, journals, |_| false);
        report.judge_moves(visits, deaths);
        report
    }

    /// Of the answers alone, wherever the sessions went. What is excused has not failed.
    pub fn of_answers(visits: &[Visit], journals: &[Vec<Record>], excused: impl Fn(&Visit) -> bool) -> Self {
        let mut report = Self { visits: visits.len(), ..Self::default() };
        report.judge_answers(visits, &executions(journals), excused);
        report
    }

    fn judge_answers(&mut self, visits: &[Visit], executions: &HashMap<&str, usize>, excused: impl Fn(&Visit) -> bool) {
        for visit in visits {
            let executed = executions.get(visit.id.as_str()).copied().unwrap_or_default();
            let wrong = matches!(visit.outcome, Outcome::Wrong(_));
            let answered = visit.instance().is_some();
            let failed = !answered && !excused(visit);
            let unknown = answered && executed == 0;
            let repeated = visit.post && executed > 1;
            self.wrong += usize::from(wrong);
            self.failed_gets += usize::from(failed && !visit.post);
            self.failed_posts += usize::from(failed && visit.post);
            self.unknown += usize::from(unknown);
            self.repeated_posts += usize::from(repeated);
            self.longest = self.longest.max((visit.ended - visit.began) / 1000);
            if wrong || unknown || repeated || (failed && !visit.post) {
                self.note(|| format!("executed {executed} times: {visit:?}"));
            }
        }
    }

    fn judge_moves(&mut self, visits: &[Visit], deaths: &[Death]) {
        let moves = moves(visits);
        for change in &moves {
            let died = |death: &&Death| death.instance == change.from && (change.since..=change.at).contains(&death.at);
            if deaths.iter().find(died).is_none() {
                self.strayed += 1;
                self.note(|| format!("strayed: {change:?}"));
            }
        }
        for (index, death) in deaths.iter().enumerate() {
            let until = deaths.get(index + 1).map_or(u64::MAX, |next| next.at);
            let mut counts: HashMap<u32, usize> = HashMap::new();
            for change in moves.iter().filter(|change| (death.at..until).contains(&change.at)) {
                *counts.entry(change.session).or_default() += 1;
            }
            let homes = homes(visits, death.at);
            for session in homes.iter().filter(|(_, home)| **home == death.instance).map(|(session, _)| session) {
                let moved = counts.get(session).copied().unwrap_or_default();
                self.bereft += 1;
                self.moved_once += usize::from(moved == 1);
                self.moved_again += usize::from(moved > 1);
                if moved != 1 {
                    self.note(|| format!("session {session} moved {moved} times when {} died", death.instance));
                }
            }
        }
    }

    pub fn note(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < 10 {
            self.examples.push(example());
        }
    }

    /// No session noticed an avoidable fault.
    pub fn assert_spared(&self) {
        let faults = [self.failed_gets, self.wrong, self.repeated_posts, self.unknown, self.moved_again, self.strayed];
        assert_eq!(faults, [0; 6], "{self:#?}");
        assert_eq!(self.moved_once, self.bereft, "{self:#?}");
    }
}
