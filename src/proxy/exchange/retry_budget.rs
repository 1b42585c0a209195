//! How many retries there may be: a bound on the load that failures add to upstreams that are in trouble already.

use crate::proxy::settings::RetrySettings;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Deposits that are not spent decay with this time constant, as those of Finagle's budget expire after ten seconds.
const TIME_CONSTANT: Duration = Duration::from_secs(10);
/// The least time between two counts of the requests: a count looks at every upstream.
const COUNT_INTERVAL: Duration = Duration::from_millis(50);

/// A budget of retries: a part of the requests, and some a second besides (Finagle's `RetryBudget`; tower has one too).
///
/// A request costs it nothing. A retry computes the income since the last one, from how many requests there were
/// meanwhile. Income decays with a time constant of ten seconds, so the budget never holds more than ten seconds'
/// worth; it begins with that of its part a second. Reading and withdrawing are thread-safe; a withdrawal takes a
/// lock.
#[derive(Debug)]
pub struct RetryBudget {
    balance: Mutex<Balance>,
    granted: AtomicU64,
    denied: AtomicU64,
}

#[derive(Debug)]
struct Balance {
    settings: RetrySettings,
    retries: f64,
    at: Instant,
    /// Requests seen so far, retries among them.
    requests: u64,
    /// Retries granted since.
    granted: u64,
}

impl RetryBudget {
    /// `requests` is how many there were so far.
    pub(crate) fn new(settings: RetrySettings, requests: u64) -> Self {
        let settings = sane(settings);
        let retries = f64::from(settings.min_per_second) * TIME_CONSTANT.as_secs_f64();
        let balance = Balance { settings, retries, at: Instant::now(), requests, granted: 0 };
        Self { balance: Mutex::new(balance), granted: AtomicU64::new(0), denied: AtomicU64::new(0) }
    }

    /// Takes effect with the next retry, also for the income since the last.
    pub(crate) fn reconfigure(&self, settings: RetrySettings) {
        self.balance.lock().settings = sane(settings);
    }

    /// Takes one retry, if there is one. `requests` counts the requests so far, retries included.
    pub(crate) fn withdraw(&self, requests: impl FnOnce() -> u64) -> bool {
        let balance = &mut *self.balance.lock();
        let now = Instant::now();
        let elapsed = now.duration_since(balance.at);
        if elapsed >= COUNT_INTERVAL {
            // An upstream that leaves the cluster takes its count with it.
            let requests = requests();
            let new = requests.saturating_sub(balance.requests).saturating_sub(balance.granted);
            let RetrySettings { ratio, min_per_second } = balance.settings;
            let income = elapsed.as_secs_f64() * f64::from(min_per_second) + new as f64 * ratio;
            let age = elapsed.as_secs_f64() / TIME_CONSTANT.as_secs_f64();
            let left = (-age).exp();
            balance.retries = balance.retries * left + income * (1.0 - left) / age;
            (balance.at, balance.requests, balance.granted) = (now, requests, 0);
        }
        if balance.retries < 1.0 {
            self.denied.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        balance.retries -= 1.0;
        balance.granted += 1;
        self.granted.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How many retries there were.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Relaxed)
    }

    /// How many retries were denied for want of budget.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }
}

/// Not a number, or below zero: none.
fn sane(settings: RetrySettings) -> RetrySettings {
    let ratio = if settings.ratio > 0.0 { settings.ratio.min(1e6) } else { 0.0 };
    RetrySettings { ratio, ..settings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn budget(ratio: f64, min_per_second: u32) -> RetryBudget {
        RetryBudget::new(RetrySettings { ratio, min_per_second }, 0)
    }

    fn drain(budget: &RetryBudget, requests: u64) -> usize {
        std::iter::repeat_with(|| budget.withdraw(|| requests)).take(1_000_000).take_while(|granted| *granted).count()
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_with_ten_seconds_worth_and_then_pays_by_the_second() {
        let budget = budget(0.2, 10);
        assert_eq!(drain(&budget, 0), 100);
        advance(Duration::from_secs(1)).await;
        // What was denied last was a part of one.
        assert!((9..=10).contains(&drain(&budget, 100)), "its retries are no requests");
        assert_eq!(budget.granted() + budget.denied(), 2 + 100 + budget.granted() - 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_the_requests_may_be_retried() {
        let budget = budget(0.2, 0);
        assert_eq!(drain(&budget, 0), 0);
        let (mut requests, mut retries) = (0, 0);
        for _ in 0..1000 {
            advance(Duration::from_millis(100)).await;
            requests += 100;
            retries += drain(&budget, requests + retries) as u64;
        }
        let part = retries as f64 / requests as f64;
        assert!((0.195..=0.2).contains(&part), "{part}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_unspent_is_worth_ten_seconds() {
        let budget = budget(0.2, 10);
        for minutes in [1, 60] {
            advance(Duration::from_secs(60 * minutes)).await;
            // A hundred requests a second: twenty and ten retries a second.
            let saved = drain(&budget, 6000 * minutes + budget.granted());
            assert!((290..=300).contains(&saved), "{saved} after {minutes} min");
            // The count goes on from where it was.
            assert!(budget.balance.lock().requests >= 6000 * minutes);
            budget.balance.lock().requests = budget.granted();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_falls_costs_nothing() {
        let budget = budget(1.0, 0);
        advance(Duration::from_secs(1)).await;
        assert!(budget.withdraw(|| 1000));
        advance(Duration::from_secs(1)).await;
        let before = budget.balance.lock().retries;
        assert!(budget.withdraw(|| 10));
        assert!(budget.balance.lock().retries > before * 0.85 - 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_there_is_nothing() {
        let budget = budget(0.0, 0);
        advance(Duration::from_secs(60)).await;
        assert_eq!((drain(&budget, 1_000_000), budget.denied()), (0, 1));
    }
}
