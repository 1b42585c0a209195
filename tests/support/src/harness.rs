//! Runs the tests of a suite as libtest does, and reports a test that can't run as ignored, with the reason. libtest
//! has no such outcome: there a test that returns early for want of a program has passed.
//!
//! A suite has `harness = false` in its manifest, calls [`main`], and imports [`test`](crate::test) in each file, so
//! that `#[test]` is this crate's attribute. A test asks [`program::find`] for what it needs and
//! returns where there is none.

use crate::program;
use libtest_mimic::{Arguments, Completion, Trial};
use std::cell::RefCell;
use std::process::ExitCode;

/// A test, as the attribute enters it into the list.
pub struct Case {
    /// Its path, from the crate on.
    pub name: &'static str,
    /// Whether it runs only with `--ignored`.
    pub ignored: bool,
    pub run: fn(),
}

inventory::collect!(Case);

thread_local! {
    /// Why the test of this thread can't run.
    static OBSTACLE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the tests that the command line selects. The first line says which of `programs` are absent.
pub fn main(programs: &[&str]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    if let Some(absent) = program::absent(programs).filter(|_| !arguments.list) {
        println!("{absent}");
    }
    let mut trials: Vec<Trial> = inventory::iter::<Case>.into_iter().map(trial).collect();
    trials.sort_by(|one, other| one.name().cmp(other.name()));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(case: &'static Case) -> Trial {
    let name = case.name.split_once("::").map_or(case.name, |(_, name)| name);
    let run = || {
        OBSTACLE.take();
        (case.run)();
        Ok(OBSTACLE.take().map_or(Completion::Completed, Completion::ignored_with))
    };
    Trial::ignorable_test(name, run).with_ignored_flag(case.ignored)
}

/// Says why the test that calls this can't run: once it returns, it is reported as ignored, for the first reason it
/// gave.
///
/// To be called on the thread of the test.
pub fn ignore(reason: String) {
    OBSTACLE.with_borrow_mut(|obstacle| obstacle.get_or_insert(reason).shrink_to_fit());
}

/// Runs an `async` test on a runtime of this thread, as `#[tokio::test]` does.
pub fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}
