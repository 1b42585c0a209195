//! A waker that remembers that it was woken, for what a busy task hardly ever needs to poll.
//!
//! A connection's task runs several times a request. What it waits for besides the connection (a shutdown, the
//! alarm for idleness) comes once in its life, and polling that each time costs more than the bookkeeping it is
//! for. Polled with a bell, it is looked at again only after it has rung.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

pub(crate) struct Bell {
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl Bell {
    /// A bell that has rung, so that all is polled once.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) })
    }

    /// Whether it has rung since it was last asked. It wakes the task of `cx` from now on.
    pub(crate) fn answer(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.lock();
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
        // Under the lock, so that a ring either finds the new waker or is seen here.
        self.rung.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = self.task.lock();
        self.rung.store(true, Ordering::Relaxed);
        task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_rings_once_and_wakes_the_task_that_asked_last() {
        let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let wakers = [&first, &second].map(|woken| Waker::from(Arc::clone(woken)));
        let bell = Bell::new();
        let ringer = Waker::from(Arc::clone(&bell));
        assert!(bell.answer(&Context::from_waker(&wakers[0])), "a new bell has rung");
        assert!(!bell.answer(&Context::from_waker(&wakers[0])));
        ringer.wake_by_ref();
        assert!(bell.answer(&Context::from_waker(&wakers[1])));
        ringer.wake();
        assert_eq!([first, second].map(|woken| woken.0.load(Ordering::Relaxed)), [1, 1]);
    }
}
