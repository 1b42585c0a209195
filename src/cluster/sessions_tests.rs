use super::*;

const SCALE: u8 = 7;
const WINDOW: u64 = 1 << SCALE;
/// The start of a window.
const START: u64 = WINDOW * 13_281_250;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

#[cfg(not(homing_loom))]
mod counting {
    use super::*;
    use crate::hash::mix64;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn touch_all(sessions: &Sessions, nonces: impl IntoIterator<Item = u64>, now: Timestamp) {
        nonces.into_iter().for_each(|nonce| sessions.touch(mix64(nonce), now));
    }

    /// The paper's standard deviation of the estimate of `n`.
    fn deviation(n: f64) -> f64 {
        let t = n / M as f64;
        (M as f64 * (t.exp() - t - 1.0)).sqrt()
    }

    #[test]
    fn estimates_are_as_good_as_the_paper_says() {
        for n in [10_u64, 100, 1000, 10_000, 20_000] {
            let rounds = 200;
            let errors = (0..rounds).map(|round| {
                let sessions = Sessions::new(Some(SCALE));
                touch_all(&sessions, (0..n).map(|i| round << 32 | i), at(0));
                f64::from(sessions.estimate(at(0))) - n as f64
            });
            let errors: Vec<f64> = errors.collect();
            let mean = errors.iter().sum::<f64>() / rounds as f64;
            let spread = (errors.iter().map(|e| e * e).sum::<f64>() / rounds as f64).sqrt();
            let expected = deviation(n as f64);
            assert!(mean.abs() < 0.5 + 4.0 * expected / (rounds as f64).sqrt(), "biased at {n}: {mean}");
            // Half a session for rounding; a standard deviation of 200 rounds is itself right to 5 %.
            assert!(spread < 0.5 + 1.25 * expected, "{spread} off at {n}, should be {expected}");
            assert!(spread > 0.75 * expected - 0.5, "{spread} off at {n}: too good to be true");
        }
    }

    #[test]
    fn a_session_counts_once_whatever_it_asks() {
        let sessions = Sessions::new(Some(SCALE));
        for second in 0..WINDOW {
            touch_all(&sessions, 0..50, at(second));
        }
        assert!(sessions.estimate(at(WINDOW - 1)).abs_diff(50) <= 2);
        touch_all(&sessions, 0..50, at(WINDOW));
        assert!(sessions.estimate(at(WINDOW)).abs_diff(50) <= 2, "nor twice across two windows");
    }

    #[test]
    fn who_stays_away_is_forgotten_after_one_to_two_windows() {
        let sessions = Sessions::new(Some(SCALE));
        touch_all(&sessions, 0..300, at(WINDOW / 2));
        touch_all(&sessions, 0..100, at(WINDOW));
        let seen = |secs| sessions.estimate(at(secs));
        assert!(seen(2 * WINDOW - 1).abs_diff(300) <= 12);
        assert!(seen(2 * WINDOW).abs_diff(100) <= 5);
        assert!(seen(3 * WINDOW - 1).abs_diff(100) <= 5);
        assert_eq!(seen(3 * WINDOW), 0);
        // Reading changes nothing: what was is still there for who reads with an earlier time.
        assert!(seen(WINDOW).abs_diff(300) <= 12);
    }

    #[test]
    fn a_silence_of_many_windows_leaves_nothing_behind() {
        let sessions = Sessions::new(Some(SCALE));
        touch_all(&sessions, 0..2000, at(0));
        for silence in [2, 3, 1000, 1 << 15, (1 << 16) - 2] {
            assert_eq!(sessions.estimate(at(silence * WINDOW)), 0, "after {silence}");
        }
        touch_all(&sessions, 0..20, at(1000 * WINDOW));
        assert!(sessions.estimate(at(1000 * WINDOW)).abs_diff(20) <= 1);
    }

    #[test]
    fn a_clock_that_lags_loses_nothing_and_one_that_jumps_back_starts_anew() {
        let sessions = Sessions::new(Some(SCALE));
        touch_all(&sessions, 0..100, at(0));
        touch_all(&sessions, 100..200, at(0).after(std::time::Duration::from_secs(WINDOW)));
        touch_all(&sessions, 200..300, at(WINDOW - 1));
        assert!(sessions.estimate(at(WINDOW)).abs_diff(300) <= 12);
        let back = Timestamp::from_secs(START - 86_400);
        assert_eq!(sessions.estimate(back), 0);
        touch_all(&sessions, 0..40, back);
        assert!(sessions.estimate(back).abs_diff(40) <= 2);
    }

    #[test]
    fn full_maps_end_at_the_largest_estimate() {
        let sessions = Sessions::new(Some(SCALE));
        touch_all(&sessions, 0..100_000, at(0));
        assert_eq!(sessions.estimate(at(0)), 36_514);
        assert!(ESTIMATES.is_sorted() && ESTIMATES[0] == 0 && ESTIMATES[1] == 1);
    }

    #[test]
    fn without_a_window_nothing_is_counted_or_kept() {
        let sessions = Sessions::new(None);
        touch_all(&sessions, 0..100, at(0));
        assert_eq!((sessions.estimate(at(0)), sessions.words.len()), (0, 0));
    }

    #[test]
    fn no_thread_loses_a_mark_while_windows_change() {
        let sessions = Sessions::new(Some(SCALE));
        for round in 0..50_u64 {
            let (start, nonces) = (round * WINDOW, 400);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (sessions, turn) = (&sessions, thread * 100);
                    let all = (0..nonces).map(move |i| (i + turn) % nonces);
                    scope.spawn(move || touch_all(sessions, all, at(start)));
                }
            });
            let alone = Sessions::new(Some(SCALE));
            touch_all(&alone, 0..nonces, at(start));
            assert_eq!(sessions.estimate(at(start)), alone.estimate(at(start)), "round {round}");
        }
    }

    proptest! {
        /// Against two plain sets: as marks, so without any error of estimation.
        #[test]
        fn the_count_of_marks_is_that_of_two_sets(
            touches in prop::collection::vec((0_u64..300, 0_u64..(WINDOW * 2)), 1..400),
        ) {
            let slot = |nonce: u64| {
                let (high, low) = (mix64(nonce) >> 32, mix64(nonce) & 0xffff_ffff);
                ((high * WORDS as u64) >> 32, (low * 24) >> 32)
            };
            let sessions = Sessions::new(Some(SCALE));
            let mut last_seen = HashMap::new();
            let mut now = 0;
            for (nonce, pause) in touches {
                // Mostly within a window, now and then beyond the next.
                now += pause * pause / (WINDOW * 4);
                sessions.touch(mix64(nonce), at(now));
                last_seen.insert(slot(nonce), now / WINDOW);
                let live = last_seen.values().filter(|window| **window + 1 >= now / WINDOW).count();
                prop_assert_eq!(sessions.estimate(at(now)), ESTIMATES[live]);
            }
        }
    }
}

#[cfg(homing_loom)]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Two nonces with marks in one word.
    const NONCES: [u64; 2] = [0, 1 << 31];

    /// Two threads that both find a word of the window before: neither's mark is lost, none is counted twice.
    #[test]
    fn loom_a_change_of_windows_loses_no_mark() {
        loom::model(|| {
            let sessions = Arc::new(Sessions::new(Some(SCALE)));
            sessions.touch(NONCES[0], at(0));
            let other = sessions.clone();
            let thread = thread::spawn(move || touch_nonces(&other, at(WINDOW)));
            touch_nonces(&sessions, at(WINDOW));
            thread.join().unwrap();
            let counts = Counts::at(sessions.counts.load(Ordering::Relaxed), sessions.window(at(WINDOW)));
            assert_eq!((counts.previous, counts.current, counts.fresh), (1, 2, 1));
        });
    }

    fn touch_nonces(sessions: &Sessions, now: Timestamp) {
        NONCES.iter().for_each(|nonce| sessions.touch(*nonce, now));
    }

    /// The model's control: a window that is opened first and marked afterwards.
    #[test]
    #[should_panic(expected = "a mark was lost")]
    fn loom_clearing_before_marking_is_caught() {
        loom::model(|| {
            let word = Arc::new(AtomicU64::new(7));
            let mark = |word: &AtomicU64, mark: u64| {
                if word.load(Ordering::Relaxed) & 7 != 0 {
                    word.store(0, Ordering::Relaxed);
                }
                word.fetch_or(mark, Ordering::Relaxed);
            };
            let other = word.clone();
            let thread = thread::spawn(move || mark(&other, 8));
            mark(&word, 16);
            thread.join().unwrap();
            assert_eq!(word.load(Ordering::Relaxed), 24, "a mark was lost");
        });
    }
}
