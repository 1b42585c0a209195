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

    fn touch_all(sessions: &Sessions, session_ids: impl IntoIterator<Item = u64>, now: Timestamp) {
        session_ids.into_iter().for_each(|session_id| sessions.touch(mix64(session_id), now));
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
            // Half a session for rounding; the standard deviation of 200 rounds is itself precise to 5 %.
            assert!(spread < 0.5 + 1.25 * expected, "{spread} off at {n}, should be {expected}");
            assert!(spread > 0.75 * expected - 0.5, "{spread} off at {n}: too good to be true");
        }
    }

    #[test]
    fn a_session_counts_once_however_many_requests_it_makes() {
        let sessions = Sessions::new(Some(SCALE));
        for second in 0..WINDOW {
            touch_all(&sessions, 0..50, at(second));
        }
        assert!(sessions.estimate(at(WINDOW - 1)).abs_diff(50) <= 2);
        touch_all(&sessions, 0..50, at(WINDOW));
        assert!(sessions.estimate(at(WINDOW)).abs_diff(50) <= 2, "nor twice across two windows");
    }

    #[test]
    fn a_session_without_requests_is_forgotten_after_one_to_two_windows() {
        let sessions = Sessions::new(Some(SCALE));
        touch_all(&sessions, 0..300, at(WINDOW / 2));
        touch_all(&sessions, 0..100, at(WINDOW));
        let seen = |secs| sessions.estimate(at(secs));
        assert!(seen(2 * WINDOW - 1).abs_diff(300) <= 12);
        assert!(seen(2 * WINDOW).abs_diff(100) <= 5);
        assert!(seen(3 * WINDOW - 1).abs_diff(100) <= 5);
        assert_eq!(seen(3 * WINDOW), 0);
        // Reading changes nothing: a read with an earlier time still finds the earlier marks.
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
            let (start, session_ids) = (round * WINDOW, 400);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (sessions, turn) = (&sessions, thread * 100);
                    let all = (0..session_ids).map(move |i| (i + turn) % session_ids);
                    scope.spawn(move || touch_all(sessions, all, at(start)));
                }
            });
            let alone = Sessions::new(Some(SCALE));
            touch_all(&alone, 0..session_ids, at(start));
            assert_eq!(sessions.estimate(at(start)), alone.estimate(at(start)), "round {round}");
        }
    }

    /// The sketch of `sessions` that another proxy receives, by way of bytes.
    fn received(sessions: &Sessions, now: Timestamp) -> Sketch {
        let sketch = sessions.sketch(now);
        let bytes = sketch.to_bytes();
        assert!(bytes.len() <= 1032);
        let read = Sketch::from_bytes(&bytes).unwrap();
        assert_eq!(read, sketch);
        read
    }

    #[test]
    fn a_proxy_that_absorbs_all_sketches_counts_as_if_it_had_seen_all_requests() {
        let proxies = [0_u64, 1, 2].map(|proxy| {
            let sessions = Sessions::new(Some(SCALE));
            touch_all(&sessions, (0..900).filter(|session_id| session_id % 3 == proxy || session_id % 5 == 0), at(0));
            touch_all(&sessions, (0..300).filter(|session_id| session_id % 4 == proxy), at(WINDOW));
            sessions
        });
        let all = Sessions::new(Some(SCALE));
        touch_all(&all, 0..900, at(0));
        touch_all(&all, (0..300).filter(|session_id| session_id % 4 < 3), at(WINDOW));
        for sessions in &proxies {
            proxies.iter().for_each(|other| assert!(sessions.absorb(&received(other, at(WINDOW)), at(WINDOW))));
            for moment in [WINDOW, 2 * WINDOW, 3 * WINDOW] {
                assert_eq!(sessions.estimate(at(moment)), all.estimate(at(moment)));
            }
            assert_eq!(received(sessions, at(WINDOW)), received(&all, at(WINDOW)));
        }
    }

    #[test]
    fn a_sketch_of_the_next_window_waits_for_it_and_one_of_the_previous_counts_there() {
        let ahead = Sessions::new(Some(SCALE));
        touch_all(&ahead, 0..100, at(WINDOW - 1));
        touch_all(&ahead, 100..200, at(WINDOW));
        let sketch = received(&ahead, at(WINDOW));
        let behind = Sessions::new(Some(SCALE));
        assert!(!behind.absorb(&sketch, at(WINDOW - 1)), "its current marks are yet to come");
        assert!(behind.estimate(at(WINDOW - 1)).abs_diff(100) <= 4);
        assert!(behind.absorb(&sketch, at(WINDOW)));
        assert_eq!(behind.estimate(at(WINDOW)), ahead.estimate(at(WINDOW)));
        let late = Sessions::new(Some(SCALE));
        assert!(late.absorb(&sketch, at(2 * WINDOW)));
        assert_eq!(late.estimate(at(2 * WINDOW)), ahead.estimate(at(2 * WINDOW)));
        assert!(late.estimate(at(2 * WINDOW)).abs_diff(100) <= 4);
    }

    #[test]
    fn a_sketch_of_other_windows_or_of_a_wrong_clock_does_no_harm() {
        let sessions = Sessions::new(Some(SCALE));
        touch_all(&sessions, 0..100, at(0));
        let before = received(&sessions, at(0));
        let full = Sessions::new(Some(SCALE));
        for windows in [2_u64, 3, 1000, 1 << 15, (1 << 16) - 2] {
            touch_all(&full, 0..10_000, at(windows * WINDOW));
            assert!(sessions.absorb(&received(&full, at(windows * WINDOW)), at(0)), "{windows} ahead");
            assert_eq!(received(&sessions, at(0)), before, "{windows} ahead");
        }
        let wider = Sessions::new(Some(SCALE + 1));
        touch_all(&wider, 0..1000, at(0));
        sessions.absorb(&received(&wider, at(0)), at(0));
        sessions.absorb(&received(&Sessions::new(None), at(0)), at(0));
        assert_eq!(received(&sessions, at(0)), before);
        let none = Sessions::new(None);
        assert!(none.absorb(&before, at(0)));
        assert_eq!(none.estimate(at(0)), 0);
        assert!(received(&none, at(0)).is_empty());
    }

    #[test]
    fn nothing_is_lost_or_counted_twice_while_threads_touch_and_absorb() {
        for round in 0..50_u64 {
            let (sessions, alone) = ([(); 2].map(|()| Sessions::new(Some(SCALE))), Sessions::new(Some(SCALE)));
            let (now, next) = (at(round * 4 * WINDOW), at(round * 4 * WINDOW + WINDOW));
            std::thread::scope(|scope| {
                for (proxy, moment) in [(0, now), (1, now), (0, next), (1, next)] {
                    let (here, other) = (&sessions[proxy], &sessions[1 - proxy]);
                    let base = if moment == now { 0 } else { 200 };
                    scope.spawn(move || {
                        for session_id in (base..base + 400).filter(|session_id| *session_id % 2 == proxy as u64) {
                            here.touch(mix64(session_id), moment);
                            if session_id % 16 < 2 {
                                here.absorb(&other.sketch(moment), moment);
                            }
                        }
                    });
                }
            });
            touch_all(&alone, 0..400, now);
            touch_all(&alone, 200..600, next);
            let (first, second) = (sessions[0].sketch(next), sessions[1].sketch(next));
            sessions[0].absorb(&second, next);
            sessions[1].absorb(&first, next);
            for one in &sessions {
                assert_counts_its_marks(one, next);
                assert_eq!(
                    one.sketch(next).words.iter().map(|seen| seen.previous | seen.current).collect::<Vec<_>>(),
                    alone.sketch(next).words.iter().map(|seen| seen.previous | seen.current).collect::<Vec<_>>()
                );
            }
        }
    }

    /// The counts equal the numbers of marks.
    fn assert_counts_its_marks(sessions: &Sessions, now: Timestamp) {
        let sketch = sessions.sketch(now);
        let count = |marks: fn(&Seen) -> u32| sketch.words.iter().map(|seen| marks(seen).count_ones()).sum::<u32>();
        let counts = Counts::at(sessions.counts.load(Ordering::Relaxed), sessions.window(now));
        let expected =
            [count(|seen| seen.previous), count(|seen| seen.current), count(|seen| seen.current & !seen.previous)];
        assert_eq!([counts.previous, counts.current, counts.fresh].map(u32::from), expected);
    }

    proptest! {
        /// Several proxies, each with the requests that it saw, exchange sketches in any order and at any time.
        #[test]
        fn absorbed_in_any_order_it_is_the_union(
            events in prop::collection::vec((0_usize..3, 0_usize..3, 0_u64..300, 0_u64..WINDOW), 1..300),
        ) {
            let proxies = [(); 3].map(|()| Sessions::new(Some(SCALE)));
            let all = Sessions::new(Some(SCALE));
            let mut now = 0;
            for (here, other, session_id, pause) in events {
                now += pause * pause / (WINDOW * 4);
                proxies[here].touch(mix64(session_id), at(now));
                all.touch(mix64(session_id), at(now));
                if session_id % 8 == 0 {
                    proxies[here].absorb(&received(&proxies[other], at(now)), at(now));
                    assert_counts_its_marks(&proxies[here], at(now));
                }
            }
            let sketches = proxies.each_ref().map(|proxy| received(proxy, at(now)));
            for (here, proxy) in proxies.iter().enumerate() {
                for turn in 0..3 {
                    prop_assert!(proxy.absorb(&sketches[(here + turn) % 3], at(now)));
                }
                prop_assert_eq!(received(proxy, at(now)), received(&all, at(now)));
                prop_assert_eq!(proxy.estimate(at(now)), all.estimate(at(now)));
            }
        }

        #[test]
        fn each_sketch_has_one_encoding(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(version) = bytes.first_mut().filter(|version| **version & 7 > 0) {
                *version = 1;
            }
            if let Ok(sketch) = Sketch::from_bytes(&bytes) {
                prop_assert_eq!(sketch.to_bytes(), bytes);
            }
        }

        /// Compares marks with two plain sets, so without the error of estimation.
        #[test]
        fn the_count_of_marks_is_that_of_two_sets(
            touches in prop::collection::vec((0_u64..300, 0_u64..(WINDOW * 2)), 1..400),
        ) {
            let slot = |session_id: u64| {
                let (high, low) = (mix64(session_id) >> 32, mix64(session_id) & 0xffff_ffff);
                ((high * WORDS as u64) >> 32, (low * 24) >> 32)
            };
            let sessions = Sessions::new(Some(SCALE));
            let mut last_seen = HashMap::new();
            let mut now = 0;
            for (session_id, pause) in touches {
                // Mostly within a window, sometimes beyond the next.
                now += pause * pause / (WINDOW * 4);
                sessions.touch(mix64(session_id), at(now));
                last_seen.insert(slot(session_id), now / WINDOW);
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

    /// Two session ids with marks in one word.
    const SESSION_IDS: [u64; 2] = [0, 1 << 31];

    /// Two threads that both find a word of the previous window: no mark is lost or counted twice.
    #[test]
    fn loom_a_change_of_windows_loses_no_mark() {
        loom::model(|| {
            let sessions = Arc::new(Sessions::new(Some(SCALE)));
            sessions.touch(SESSION_IDS[0], at(0));
            let other = sessions.clone();
            let thread = thread::spawn(move || touch_session_ids(&other, at(WINDOW)));
            touch_session_ids(&sessions, at(WINDOW));
            thread.join().unwrap();
            let counts = Counts::at(sessions.counts.load(Ordering::Relaxed), sessions.window(at(WINDOW)));
            assert_eq!((counts.previous, counts.current, counts.fresh), (1, 2, 1));
        });
    }

    /// One thread touches in the next window while another absorbs from the previous: the counts equal the marks.
    #[test]
    fn loom_touches_and_sketches_add_up() {
        crate::sync::model(|| {
            let other_proxy = Sessions::new(Some(SCALE));
            touch_session_ids(&other_proxy, at(0));
            let sketch = other_proxy.sketch(at(0));
            let sessions = Arc::new(Sessions::new(Some(SCALE)));
            let other = sessions.clone();
            let thread = thread::spawn(move || other.touch(SESSION_IDS[0], at(WINDOW)));
            sessions.absorb(&sketch, at(0));
            thread.join().unwrap();
            let counts = Counts::at(sessions.counts.load(Ordering::Relaxed), sessions.window(at(WINDOW)));
            assert_eq!((counts.previous, counts.current, counts.marked()), (2, 1, 2));
        });
    }

    /// Two threads that absorb and touch the same within a window.
    #[test]
    fn loom_a_mark_that_two_threads_add_counts_once() {
        crate::sync::model(|| {
            let other_proxy = Sessions::new(Some(SCALE));
            touch_session_ids(&other_proxy, at(0));
            other_proxy.touch(SESSION_IDS[0], at(WINDOW));
            let sketch = other_proxy.sketch(at(WINDOW));
            let sessions = Arc::new(Sessions::new(Some(SCALE)));
            let other = sessions.clone();
            let thread = thread::spawn(move || touch_session_ids(&other, at(WINDOW)));
            sessions.absorb(&sketch, at(WINDOW));
            thread.join().unwrap();
            let counts = Counts::at(sessions.counts.load(Ordering::Relaxed), sessions.window(at(WINDOW)));
            assert_eq!((counts.previous, counts.current, counts.fresh), (2, 2, 0));
        });
    }

    fn touch_session_ids(sessions: &Sessions, now: Timestamp) {
        SESSION_IDS.iter().for_each(|session_id| sessions.touch(*session_id, now));
    }

    /// Control of the model: a word that is cleared first and marked afterwards.
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
