//! An upgrade without a gap: the program at this one's path is started with the same arguments and with every socket that
//! this one listens on, and once it says that it accepts, this one accepts no more and finishes what it has.
//!
//! Both accept from the same sockets, so a connection that waits to be accepted is accepted by one of them.

use command_fds::{CommandFdExt, FdMapping};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tokio::time::sleep;

/// Tells a successor that the last of the sockets that it inherits leads to its predecessor.
pub(crate) const MARK: &str = "HOMING_PREDECESSOR";

/// What a successor says when it accepts.
const READY: &[u8] = b"READY=1";

/// For how long it may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first descriptor of systemd's protocol.
const FIRST: i32 = 3;

/// A gateway that waits to hear that this one accepts.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixDatagram);

impl Predecessor {
    pub(crate) fn new(socket: UnixDatagram) -> Self {
        Self(socket)
    }

    pub(crate) fn tell_ready(self) {
        if let Err(error) = self.0.send(READY) {
            tracing::warn!(%error, "the process before this one does not hear that it is followed");
        }
    }
}

/// Why nobody follows.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The sockets cannot be passed on.
    #[error("cannot pass the sockets on: {0}")]
    Sockets(#[source] io::Error),
    /// The program was not started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Its path.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it accepted.
    #[error("the new process has ended ({0}); what it had to say stands above")]
    Ended(ExitStatus),
    /// It does not say that it accepts.
    #[error("the new process has not said within {0:?} that it accepts, and was stopped")]
    Silent(Duration),
}

/// Starts a process that takes `sockets` over, and returns its id when it accepts.
pub(crate) async fn start_successor(sockets: Vec<TcpListener>) -> Result<u32, UpgradeError> {
    let (ours, theirs) = UnixDatagram::pair().map_err(UpgradeError::Sockets)?;
    ours.set_nonblocking(true).map_err(UpgradeError::Sockets)?;
    let ours = tokio::net::UnixDatagram::from_std(ours).map_err(UpgradeError::Sockets)?;
    let mut passed: Vec<OwnedFd> = sockets.into_iter().map(OwnedFd::from).collect();
    passed.push(theirs.into());
    let count = passed.len();
    let mut arguments = std::env::args_os();
    // As it was called, and not what that led to: a link may lead to another version now.
    let program = arguments.next().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(arguments).env("LISTEN_FDS", count.to_string()).env(MARK, "1");
    // Those would be about this process.
    command.env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES").env_remove("LISTEN_FDS_FIRST_FD");
    let mappings = (FIRST..).zip(passed).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).map_err(|error| UpgradeError::Sockets(io::Error::other(error)))?;
    let mut command = tokio::process::Command::from(command);
    let started = command.spawn();
    // It holds what was passed on.
    drop(command);
    let start = |source| UpgradeError::Start { program: program.to_string_lossy().into_owned(), source };
    let mut child = started.map_err(start)?;
    let id = child.id().unwrap_or_default();
    let mut said = [0; READY.len()];
    tokio::select! {
        heard = ours.recv(&mut said) => match heard {
            Ok(_) if said == READY => return Ok(id),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the new process cannot be heard"),
        },
        ended = child.wait() => return Err(ended.map_or_else(UpgradeError::Sockets, UpgradeError::Ended)),
        () = sleep(PATIENCE) => {}
    }
    child.kill().await.map_err(UpgradeError::Sockets)?;
    Err(UpgradeError::Silent(PATIENCE))
}
