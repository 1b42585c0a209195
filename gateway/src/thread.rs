//! Threads beside the workers.

use std::io;
use std::thread::JoinHandle;

/// A thread that ends when its `stop` is dropped. Dropping this does so, and waits for it.
#[derive(Debug)]
pub(crate) struct Companion<S> {
    /// Goes first, and so tells.
    stop: Option<S>,
    thread: Option<JoinHandle<()>>,
}

impl<S> Companion<S> {
    pub(crate) fn start(name: &str, stop: S, run: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        Ok(Self::new(stop, std::thread::Builder::new().name(name.to_owned()).spawn(run)?))
    }

    /// Of a thread that runs already.
    pub(crate) fn new(stop: S, thread: JoinHandle<()>) -> Self {
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl<S> Drop for Companion<S> {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if thread.join().is_err() {
            tracing::error!("the thread {name:?} had panicked");
        }
    }
}
