//! Counts of the events of a run, added up over seeds.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Default, Clone, PartialEq, Eq)]
pub struct Tally {
    pub seeds: u64,
    pub millis: u64,
    pub requests: u64,
    pub counts: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub fn count(&mut self, group: &'static str, what: &'static str) {
        *self.counts.entry(group).or_default().entry(what).or_default() += 1;
    }

    pub fn of(&self, group: &str) -> u64 {
        self.counts.get(group).map_or(0, |counts| counts.values().sum())
    }

    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.millis += other.millis;
        self.requests += other.requests;
        for (group, counts) in &other.counts {
            let own = self.counts.entry(group).or_default();
            counts.iter().for_each(|(what, count)| *own.entry(what).or_default() += count);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.millis as f64 / 3_600_000.0;
        writeln!(f, "{} seeds, {hours:.0} virtual hours, {} requests", self.seeds, self.requests)?;
        for (group, counts) in &self.counts {
            let list: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
            writeln!(f, "{group}: {} ({})", self.of(group), list.join(", "))?;
        }
        Ok(())
    }
}
