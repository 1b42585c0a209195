//! The signals that control the process.

use std::io;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProcessSignal {
    /// SIGTERM, SIGINT; Ctrl-C on Windows.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    #[cfg(unix)]
    Upgrade,
}

/// Receives SIGTERM, SIGINT, SIGHUP and SIGUSR2.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    upgrade: Signal,
}

#[cfg(unix)]
impl Signals {
    /// Signals are received from here on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> ProcessSignal {
        tokio::select! {
            _ = self.terminate.recv() => ProcessSignal::Stop,
            _ = self.interrupt.recv() => ProcessSignal::Stop,
            _ = self.reload.recv() => ProcessSignal::Reload,
            _ = self.upgrade.recv() => ProcessSignal::Upgrade,
        }
    }
}

/// Receives Ctrl-C.
#[cfg(windows)]
#[derive(Debug)]
pub(super) struct Signals(CtrlC);

#[cfg(windows)]
impl Signals {
    /// Ctrl-C is received from here on.
    pub(super) fn new() -> io::Result<Self> {
        ctrl_c().map(Self)
    }

    pub(super) async fn next(&mut self) -> ProcessSignal {
        let _ = self.0.recv().await;
        ProcessSignal::Stop
    }
}
