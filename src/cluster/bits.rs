//! A lock-free ordered set of small integers, which finds its next member in a few loads.
//!
//! One bit per member, in words of 64; above them tiers of summaries, with one bit for each word below that is not
//! empty: van Emde Boas' idea (Information Processing Letters 6(3), 1977) with words of 64 bits for the square roots.
//!
//! Summary bits are set at once and cleared lazily. [`Bits::remove`] leaves them set, so that inserting and removing a
//! member costs one locked operation each; [`Bits::first`] clears the summary bits that it finds stale (set, with an
//! empty word below), so each stale bit costs one search only.

use crate::sync::{AtomicU64, Ordering};

const WORD: usize = 64;

/// A set of integers below its capacity. Every method is safe from any thread and lock-free.
pub(crate) struct Bits {
    /// The words of members first, then the summary of each tier, up to a tier of a single word.
    tiers: Box<[Box<[AtomicU64]>]>,
}

fn split(at: usize) -> (usize, u64) {
    (at / WORD, 1 << (at % WORD))
}

impl Bits {
    /// The empty set of integers below `capacity`, which is at least 1. Takes one bit per integer and 1/63 more.
    pub(crate) fn new(capacity: usize) -> Self {
        let sizes =
            std::iter::successors(Some(capacity.div_ceil(WORD)), |words| (*words > 1).then(|| words.div_ceil(WORD)));
        let tier = |words| (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { tiers: sizes.map(tier).collect() }
    }

    /// Adds `member`. One locked operation, and one more for each summary bit that is not set yet.
    pub(crate) fn insert(&self, member: usize) {
        let (word, bit) = split(member);
        self.tiers[0][word].fetch_or(bit, Ordering::AcqRel);
        self.set_summary(1, word);
    }

    /// Removes `member`. One locked operation.
    pub(crate) fn remove(&self, member: usize) {
        let (word, bit) = split(member);
        self.tiers[0][word].fetch_and(!bit, Ordering::AcqRel);
    }

    /// Removes all members. One that is inserted concurrently may stay or not.
    pub(crate) fn clear(&self) {
        let full = self.tiers.iter().flatten().filter(|word| word.load(Ordering::Relaxed) != 0);
        // A read-modify-write and no store: a store would end the release sequence of earlier operations on the word,
        // and later insertions would not synchronize with those.
        full.for_each(|word| _ = word.fetch_and(0, Ordering::AcqRel));
    }

    /// The lowest member in `from..end`.
    ///
    /// A member that is in the set during the whole call is found, except while another thread is inside
    /// [`clear_summary`](Self::clear_summary) with a word that was empty before.
    pub(crate) fn first(&self, from: usize, end: usize) -> Option<usize> {
        let (mut height, mut at, mut descending) = (0, from, false);
        while at << (height * WORD.ilog2() as usize) < end {
            let word = at / WORD;
            let rest = self.tiers[height].get(word)?.load(Ordering::Acquire) & (u64::MAX << (at % WORD));
            if rest != 0 {
                at = word * WORD + rest.trailing_zeros() as usize;
                if height == 0 {
                    return (at < end).then_some(at);
                }
                (height, at, descending) = (height - 1, at * WORD, true);
            } else {
                if descending {
                    self.clear_summary(height, word);
                }
                (height, at, descending) = (height + 1, word + 1, false);
                if height == self.tiers.len() {
                    return None;
                }
            }
        }
        None
    }

    /// Sets the summary bits of word `at` in the tiers from `height` up. `at` is the index of a word one tier below.
    fn set_summary(&self, height: usize, mut at: usize) {
        for tier in &self.tiers[height..] {
            let (word, bit) = split(at);
            // The bit is mostly set already: a load takes no cache line away from other threads.
            if tier[word].load(Ordering::Acquire) & bit == 0 {
                tier[word].fetch_or(bit, Ordering::AcqRel);
            }
            at = word;
        }
    }

    /// Clears the summary bit, one tier above, of word `at` of tier `height`, unless the word has members again.
    ///
    /// The second read of the word is a read-modify-write, so it and an insertion into that word have an order. Either
    /// this read sees the member and sets the summary bit again; or the insertion comes after it, thereby sees the
    /// summary bit cleared, and sets it.
    fn clear_summary(&self, height: usize, at: usize) {
        let (word, bit) = split(at);
        let others = self.tiers[height + 1][word].fetch_and(!bit, Ordering::AcqRel) & !bit;
        if self.tiers[height][at].fetch_or(0, Ordering::AcqRel) != 0 {
            self.set_summary(height + 1, at);
        } else if others == 0 && height + 2 < self.tiers.len() {
            self.clear_summary(height + 1, word);
        }
    }
}

#[cfg(all(test, not(homing_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize),
        Remove(usize),
        First(usize, usize),
    }

    fn step(capacity: usize) -> impl Strategy<Value = Step> {
        // Also members close together, so that words fill and empty.
        let member = prop_oneof![0..capacity, 0..capacity.min(130)];
        prop_oneof![
            member.clone().prop_map(Step::Insert),
            member.clone().prop_map(Step::Remove),
            (member, 0..=capacity).prop_map(|(from, end)| Step::First(from, end)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(
            (capacity, steps) in prop_oneof![Just(1_usize), Just(64), Just(65), Just(5000), Just(300_000)]
                .prop_flat_map(|n| (Just(n), prop::collection::vec(step(n), 1..200))),
        ) {
            let (bits, mut naive) = (Bits::new(capacity), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(member) => {
                        bits.insert(member);
                        naive.insert(member);
                    }
                    Step::Remove(member) => {
                        bits.remove(member);
                        naive.remove(&member);
                    }
                    Step::First(from, end) => {
                        let expected = naive.range(from..).next().copied().filter(|member| *member < end);
                        prop_assert_eq!(bits.first(from, end), expected);
                    }
                }
            }
            let lowest = naive.first().copied();
            prop_assert_eq!(bits.first(0, capacity), lowest);
            bits.clear();
            prop_assert_eq!(bits.first(0, capacity), None);
        }
    }

    #[test]
    fn a_search_clears_every_stale_summary_bit() {
        let bits = Bits::new(100_000);
        for word in 1..1000 {
            bits.insert(word * WORD);
            bits.remove(word * WORD);
        }
        assert_eq!(bits.first(0, 100_000), None);
        assert!(
            bits.tiers.iter().flatten().all(|word| word.load(Ordering::Relaxed) == 0),
            "a stale summary bit is left"
        );
    }
}

#[cfg(test)]
#[cfg(homing_loom)]
mod loom_tests {
    use super::*;
    use crate::sync::model;
    use loom::sync::Arc;
    use loom::thread;

    /// Two words under one summary, whose bit for the second is stale.
    fn with_a_stale_summary() -> Arc<Bits> {
        let bits = Bits::new(2 * WORD);
        bits.insert(WORD);
        bits.remove(WORD);
        Arc::new(bits)
    }

    fn no_member_is_lost(read: fn(&Bits)) {
        model(move || {
            let bits = with_a_stale_summary();
            let adders: Vec<_> = [WORD, WORD + 1]
                .map(|member| {
                    let bits = bits.clone();
                    thread::spawn(move || bits.insert(member))
                })
                .into();
            read(&bits);
            adders.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(bits.first(0, 2 * WORD), Some(WORD), "a member is lost");
        });
    }

    #[test]
    fn loom_no_member_is_lost_to_a_reader_that_clears_a_summary_bit() {
        no_member_is_lost(|bits| {
            bits.first(0, 2 * WORD);
        });
    }

    /// Control of the model: it reads the word first and then clears the summary bit.
    #[test]
    #[should_panic(expected = "a member is lost")]
    fn loom_clearing_a_summary_bit_without_a_second_read_is_caught() {
        no_member_is_lost(|bits| {
            if bits.tiers[0][1].load(Ordering::Acquire) == 0 {
                bits.tiers[1][0].fetch_and(!2, Ordering::AcqRel);
            }
        });
    }

    /// Control of the model: a second read that is a plain load and has no order with insertions.
    #[test]
    #[should_panic(expected = "a member is lost")]
    fn loom_a_plain_second_read_is_caught() {
        no_member_is_lost(|bits| {
            bits.tiers[1][0].fetch_and(!2, Ordering::AcqRel);
            if bits.tiers[0][1].load(Ordering::Acquire) != 0 {
                bits.set_summary(1, 1);
            }
        });
    }

    /// Insertions and removals of other members in the same word do not disturb a member.
    #[test]
    fn loom_members_of_one_word_are_independent() {
        model(|| {
            let bits = with_a_stale_summary();
            let other = bits.clone();
            let thread = thread::spawn(move || {
                other.insert(WORD + 1);
                other.remove(WORD + 1);
                other.first(0, 2 * WORD)
            });
            bits.insert(WORD + 2);
            let found = thread.join().unwrap();
            assert!(found.is_none_or(|member| member == WORD + 2), "{found:?}");
            assert_eq!(bits.first(0, 2 * WORD), Some(WORD + 2));
        });
    }
}
