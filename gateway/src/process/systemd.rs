//! What the service manager is told: systemd's protocol, where `$NOTIFY_SOCKET` says that somebody listens.

#[cfg(unix)]
mod systemd {
    use sd_notify::NotifyState;

    pub(crate) fn ready() {
        tell(&[NotifyState::Ready]);
    }

    /// Settings are taken over, until it is ready again.
    pub(crate) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// Another process is the service from now on.
    pub(crate) fn followed_by(process: u32) {
        tell(&[NotifyState::MainPid(process), NotifyState::Ready]);
    }

    fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

#[cfg(unix)]
pub(super) use systemd::*;

#[cfg(not(unix))]
mod nobody {
    pub(crate) fn ready() {}
    pub(crate) fn reloading() {}
    pub(crate) fn stopping() {}
}

#[cfg(not(unix))]
pub(super) use nobody::*;
