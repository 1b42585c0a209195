//! The live sessions of each upstream over the last hour.

use super::rfc3339::rfc3339;
use homing::time::Timestamp;
use parking_lot::Mutex;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// From one sample to the next.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// So many samples make an hour.
const SAMPLES: usize = 720;

/// Figures kept in all, 2 MiB: each of an hour's samples for up to 728 upstreams. With more upstreams every second
/// sample is kept, every fourth and so on, so that they still span an hour: one sample in 80 seconds for 10,000
/// upstreams.
const FIGURES: usize = 1 << 19;

/// The figure of an upstream that was not in the cluster.
const ABSENT: u32 = u32::MAX;

#[derive(Default)]
pub(crate) struct History(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// How many samples were taken, kept or not.
    taken: u64,
    kept: KeptSamples,
}

/// The samples kept. A response is written from a copy, so that sampling does not wait for it.
#[derive(Clone, Default)]
pub(crate) struct KeptSamples {
    times: VecDeque<Timestamp>,
    /// By upstream, one figure for each of the times.
    live: BTreeMap<Arc<str>, VecDeque<u32>>,
}

impl History {
    /// To be called each [`INTERVAL`].
    pub(crate) fn sample<'a>(&self, at: Timestamp, live: impl IntoIterator<Item = (&'a str, u32)>) {
        let mut inner = self.0.lock();
        if inner.taken.is_multiple_of(inner.kept.stride()) {
            inner.kept.push(at, live);
            inner.kept.forget(at);
        }
        inner.taken += 1;
    }

    pub(crate) fn kept(&self) -> KeptSamples {
        self.0.lock().kept.clone()
    }
}

impl KeptSamples {
    /// One in so many samples is kept.
    fn stride(&self) -> u64 {
        (SAMPLES * self.live.len()).div_ceil(FIGURES).next_power_of_two() as u64
    }

    fn push<'a>(&mut self, at: Timestamp, live: impl IntoIterator<Item = (&'a str, u32)>) {
        let before = self.times.len();
        self.times.push_back(at);
        self.live.values_mut().for_each(|figures| figures.push_back(ABSENT));
        for (name, figure) in live {
            match self.live.get_mut(name).and_then(VecDeque::back_mut) {
                Some(last) => *last = figure,
                None => {
                    let figures = std::iter::repeat_n(ABSENT, before).chain([figure]).collect();
                    self.live.insert(name.into(), figures);
                }
            }
        }
    }

    /// Drops samples older than an hour, upstreams that are in none of those left, and every second sample while there
    /// are too many.
    fn forget(&mut self, now: Timestamp) {
        let hour = INTERVAL * SAMPLES as u32;
        let old = self.times.iter().take_while(|at| now.since(**at) >= hour).count();
        let old = old.max(self.times.len().saturating_sub(SAMPLES));
        self.times.drain(..old);
        self.live.values_mut().for_each(|figures| drop(figures.drain(..old)));
        self.live.retain(|_, figures| figures.iter().rev().any(|figure| *figure != ABSENT));
        while self.times.len() > 1 && self.times.len() * self.live.len() > FIGURES {
            // The last sample stays.
            let odd = self.times.len() % 2;
            halve(&mut self.times, odd);
            self.live.values_mut().for_each(|figures| halve(figures, odd));
        }
    }
}

/// Keeps every second value.
fn halve<T>(values: &mut VecDeque<T>, mut number: usize) {
    values.retain(|_| {
        number += 1;
        number.is_multiple_of(2)
    });
    values.shrink_to_fit();
}

impl Serialize for KeptSamples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut history = serializer.serialize_struct("History", 2)?;
        history.serialize_field("interval_seconds", &(INTERVAL.as_secs() * self.stride()))?;
        history.serialize_field("samples", &Samples(self))?;
        history.end()
    }
}

struct Samples<'a>(&'a KeptSamples);

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut samples = serializer.serialize_seq(Some(self.0.times.len()))?;
        for index in 0..self.0.times.len() {
            samples.serialize_element(&Sample { kept: self.0, index })?;
        }
        samples.end()
    }
}

struct Sample<'a> {
    kept: &'a KeptSamples,
    index: usize,
}

impl Serialize for Sample<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sample = serializer.serialize_struct("Sample", 2)?;
        sample.serialize_field("at", &rfc3339(self.kept.times[self.index]))?;
        sample.serialize_field("live_sessions", &LiveSessions(self))?;
        sample.end()
    }
}

struct LiveSessions<'a>(&'a Sample<'a>);

impl Serialize for LiveSessions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Sample { kept, index } = self.0;
        let mut live = serializer.serialize_map(None)?;
        for (name, figures) in &kept.live {
            if figures[*index] != ABSENT {
                live.serialize_entry(&**name, &figures[*index])?;
            }
        }
        live.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(history: &History) -> Value {
        serde_json::to_value(history.kept()).unwrap()
    }

    fn at(look: u64) -> Timestamp {
        Timestamp::from_secs(5 * look)
    }

    fn figures(history: &History) -> usize {
        history.0.lock().kept.live.values().map(VecDeque::len).sum()
    }

    #[test]
    fn who_comes_and_goes_is_told_while_there() {
        let history = History::default();
        history.sample(at(0), [("a", 1)]);
        history.sample(at(1), [("a", 2), ("b", 0)]);
        history.sample(at(2), [("b", 3)]);
        let samples = json!([
            { "at": "1970-01-01T00:00:00.000Z", "live_sessions": { "a": 1 } },
            { "at": "1970-01-01T00:00:05.000Z", "live_sessions": { "a": 2, "b": 0 } },
            { "at": "1970-01-01T00:00:10.000Z", "live_sessions": { "b": 3 } },
        ]);
        assert_eq!(told(&history), json!({ "interval_seconds": 5, "samples": samples }));
    }

    #[test]
    fn an_hour_is_kept_and_nobody_beyond() {
        let history = History::default();
        history.sample(at(0), [("gone", 1)]);
        (1..2000).for_each(|look| history.sample(at(look), [("a", look as u32)]));
        let told = told(&history);
        let samples = told["samples"].as_array().unwrap();
        assert_eq!(samples.len(), SAMPLES);
        assert_eq!(samples[0]["live_sessions"], json!({ "a": 1280 }));
        assert_eq!(samples[719]["live_sessions"], json!({ "a": 1999 }));
        assert_eq!(history.kept().live.len(), 1);
    }

    #[test]
    fn a_clock_that_stands_still_keeps_no_more() {
        let history = History::default();
        (0..2000).for_each(|_| history.sample(at(0), [("a", 1)]));
        assert_eq!(history.kept().times.len(), SAMPLES);
    }

    #[test]
    fn of_many_upstreams_fewer_samples_are_kept_of_the_same_hour() {
        let names: Vec<String> = (0..10_000).map(|number| format!("app-{number}")).collect();
        let (few, history) = (&names[..2], History::default());
        let look = |number: u64, names: &[String]| {
            history.sample(at(number), names.iter().map(|name| (&**name, number as u32)));
            assert!(figures(&history) <= FIGURES, "{} figures at {number}", figures(&history));
        };
        (0..720).for_each(|number| look(number, few));
        assert_eq!((history.kept().times.len(), told(&history)["interval_seconds"].as_u64()), (720, Some(5)));
        (720..1440).for_each(|number| look(number, &names));
        let told = told(&history);
        assert_eq!(told["interval_seconds"], 80);
        let samples = told["samples"].as_array().unwrap();
        assert!((40..=52).contains(&samples.len()), "{} samples", samples.len());
        assert!(samples[0]["at"].as_str().unwrap() < "1970-01-01T01:03:00", "an hour still: {}", samples[0]["at"]);
        assert_eq!(samples.last().unwrap()["live_sessions"]["app-9999"], 1424);

        (1440..2880).for_each(|number| look(number, few));
        assert_eq!(history.kept().times.len(), SAMPLES, "and every sample of few again");
    }

    #[test]
    fn names_that_never_come_again_take_no_more_room() {
        let history = History::default();
        for look in 0..3000 {
            let name = format!("pod-{look}");
            history.sample(at(look), [(&*name, 1)]);
            assert!(figures(&history) <= FIGURES);
        }
        assert!(history.kept().live.len() <= SAMPLES);
    }
}
