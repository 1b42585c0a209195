//! A clock that tests move.

use homing::Timestamp;
use homing::time::{Clock, FakeClock};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Moved(Arc<FakeClock>);

impl Moved {
    /// Some day in 2033.
    pub fn new() -> Self {
        Self(Arc::new(FakeClock::new(Timestamp::from_secs(2_000_000_000))))
    }

    pub fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}
