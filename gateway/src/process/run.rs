//! The life of a started gateway: signals and file changes in, until it stops or a successor takes over.

use super::gateway::Gateway;
use super::signals::ProcessSignal;
use super::systemd;
use crate::listen::server::RunningServer;
use std::time::Duration;
use tokio::time::sleep;

/// How often a gateway that ends looks whether its workers have ended.
const END_POLL: Duration = Duration::from_millis(20);

impl Gateway {
    /// Runs until SIGTERM or SIGINT, and then until requests and tunnels have finished or `timeouts.shutdown` is over;
    /// or until another process has taken over, and requests and tunnels here have finished or `timeouts.upgrade` is
    /// over.
    ///
    /// A new configuration is checked whole before any of it is put in force; one that is wrong is refused in one line
    /// of the log, and the old one stays in force. Connections keep the settings that they began with. What cannot
    /// change while the gateway runs (`workers`, `state`, `discovery`, `affinity.enabled`, `affinity.live_window`) is
    /// refused like a fault.
    pub async fn run(mut self) {
        systemd::ready();
        #[cfg(unix)]
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.notify_ready();
        }
        loop {
            let signal = tokio::select! {
                signal = self.signals.next() => signal,
                () = self.files.changed() => ProcessSignal::Reload,
            };
            match signal {
                ProcessSignal::Stop => return self.stop().await,
                ProcessSignal::Reload => self.reload(),
                #[cfg(unix)]
                ProcessSignal::Upgrade => {
                    if self.hand_over().await {
                        return self.retire().await;
                    }
                }
            }
        }
    }

    /// Lets requests and tunnels finish, now that another process accepts.
    #[cfg(unix)]
    async fn retire(mut self) {
        let timeouts = self.config.timeouts.clone();
        // Idle connections linger for as long as they may be idle anyway.
        self.running.retire(timeouts.idle, timeouts.upgrade);
        loop {
            tokio::select! {
                () = ended(&self.running) => break,
                signal = self.signals.next() => match signal {
                    ProcessSignal::Stop => return self.stop().await,
                    signal => tracing::warn!(?signal, "ignored: another process has taken over"),
                },
            }
        }
        self.join(Duration::ZERO);
    }

    async fn stop(mut self) {
        let grace = self.config.timeouts.shutdown;
        tracing::info!(?grace, "stopping: what runs may finish");
        systemd::stopping();
        self.running.retire(Duration::ZERO, grace);
        // Administration and health checks go on meanwhile: operators watch the shutdown there.
        ended(&self.running).await;
        self.join(grace);
    }

    fn join(self, grace: Duration) {
        self.health_checks.abort();
        self.running.stop(grace);
    }
}

async fn ended(running: &RunningServer) {
    while !running.is_done() {
        sleep(END_POLL).await;
    }
}
