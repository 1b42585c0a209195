//! A waker that remembers that it was woken, for events that a busy task hardly ever needs to poll for.
//!
//! A connection's task runs several times a request. What it waits for besides its sockets (a shutdown, the alarm for
//! idleness) happens once in the connection's life, and polling that each time costs more than the bookkeeping it is
//! for. Polled with a latched waker, it is polled again only after it has woken the task.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// Set when woken, reset by [`take`](Self::take).
pub(crate) struct LatchedWaker {
    woken: AtomicBool,
    task: Mutex<Waker>,
}

impl LatchedWaker {
    /// Begins as woken, so that everything is polled once.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) })
    }

    /// Whether it was woken since the last call. From now on it wakes the task of `cx`.
    pub(crate) fn take(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.lock();
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
        // Under the lock, so that a concurrent wake either finds the new waker or is seen here.
        self.woken.swap(false, Ordering::Relaxed)
    }
}

impl Wake for LatchedWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = self.task.lock();
        self.woken.store(true, Ordering::Relaxed);
        task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct CountingWaker(AtomicUsize);

    impl Wake for CountingWaker {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_latches_once_and_wakes_the_task_that_took_last() {
        let (first, second) = (Arc::new(CountingWaker::default()), Arc::new(CountingWaker::default()));
        let wakers = [&first, &second].map(|counting| Waker::from(Arc::clone(counting)));
        let latch = LatchedWaker::new();
        let waker = Waker::from(Arc::clone(&latch));
        assert!(latch.take(&Context::from_waker(&wakers[0])), "a new one counts as woken");
        assert!(!latch.take(&Context::from_waker(&wakers[0])));
        waker.wake_by_ref();
        assert!(latch.take(&Context::from_waker(&wakers[1])));
        waker.wake();
        assert_eq!([first, second].map(|counting| counting.0.load(Ordering::Relaxed)), [1, 1]);
    }
}
