//! Notifies the service manager by systemd's protocol (`sd_notify(3)`), where `$NOTIFY_SOCKET` is set.

#[cfg(unix)]
mod notify {
    use sd_notify::NotifyState;

    pub(crate) fn ready() {
        notify(&[NotifyState::Ready]);
    }

    /// A configuration is being put in force, until the process is ready again.
    pub(crate) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
    }

    pub(crate) fn stopping() {
        notify(&[NotifyState::Stopping]);
    }

    /// Another process is the service's main process from now on.
    pub(crate) fn succeeded_by(process: u32) {
        notify(&[NotifyState::MainPid(process), NotifyState::Ready]);
    }

    fn notify(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "cannot notify the service manager");
        }
    }
}

#[cfg(not(unix))]
mod notify {
    pub(crate) fn ready() {}
    pub(crate) fn reloading() {}
    pub(crate) fn stopping() {}
}

pub(super) use notify::*;
