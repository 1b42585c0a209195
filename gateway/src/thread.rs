//! Threads beside the workers, which end with the value that owns them.

use std::io;
use std::thread::JoinHandle;

/// A thread that ends when its `stop` handle is dropped. Dropping an `OwnedThread` drops the handle and joins the
/// thread.
#[derive(Debug)]
pub(crate) struct OwnedThread<S> {
    /// `None` once it was dropped, which comes before the join.
    stop: Option<S>,
    thread: Option<JoinHandle<()>>,
}

impl<S> OwnedThread<S> {
    pub(crate) fn start(name: &str, stop: S, run: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        Ok(Self::new(stop, std::thread::Builder::new().name(name.to_owned()).spawn(run)?))
    }

    /// Owns a thread that runs already.
    pub(crate) fn new(stop: S, thread: JoinHandle<()>) -> Self {
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl<S> Drop for OwnedThread<S> {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if thread.join().is_err() {
            tracing::error!("the thread {name:?} has panicked");
        }
    }
}
