//! An upgrade without a gap: starts the program at this one's path with the same arguments and with every listening
//! socket, and waits until it reports that it accepts.
//!
//! Both processes accept from the same sockets, so a connection that waits to be accepted is accepted by one of them.

use crate::listen::predecessor::{PREDECESSOR_VARIABLE, READY};
use command_fds::{CommandFdExt, FdMapping};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tokio::time::sleep;

/// For how long a successor may take until it accepts.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The first descriptor of systemd's protocol.
const FIRST_DESCRIPTOR: i32 = 3;

/// Why no successor took over.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    /// The sockets cannot be passed on.
    #[error("cannot pass the sockets on: {0}")]
    Sockets(#[source] io::Error),
    /// The program was not started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Its path.
        program: String,
        /// What the system reported.
        source: io::Error,
    },
    /// It ended before it accepted.
    #[error("the new process has ended ({0}) before it accepted; its own messages are above")]
    Ended(ExitStatus),
    /// It did not report that it accepts.
    #[error("the new process has not reported within {0:?} that it accepts, and was stopped")]
    Timeout(Duration),
}

/// Starts a process that takes `sockets` over, and returns its id when it accepts.
pub(super) async fn start_successor(sockets: Vec<TcpListener>) -> Result<u32, UpgradeError> {
    let (ours, theirs) = UnixDatagram::pair().map_err(UpgradeError::Sockets)?;
    ours.set_nonblocking(true).map_err(UpgradeError::Sockets)?;
    let ours = tokio::net::UnixDatagram::from_std(ours).map_err(UpgradeError::Sockets)?;
    let mut passed: Vec<OwnedFd> = sockets.into_iter().map(OwnedFd::from).collect();
    passed.push(theirs.into());
    let count = passed.len();
    let mut arguments = std::env::args_os();
    // The path as it was called, not the file that it resolved to: a link may lead to another version now.
    let program = arguments.next().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(arguments).env("LISTEN_FDS", count.to_string()).env(PREDECESSOR_VARIABLE, "1");
    // Those describe this process's own sockets.
    command.env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES").env_remove("LISTEN_FDS_FIRST_FD");
    let mappings = (FIRST_DESCRIPTOR..).zip(passed).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).map_err(|error| UpgradeError::Sockets(io::Error::other(error)))?;
    let mut command = tokio::process::Command::from(command);
    let started = command.spawn();
    // It owns the descriptors that were passed on.
    drop(command);
    let start = |source| UpgradeError::Start { program: program.to_string_lossy().into_owned(), source };
    let mut child = started.map_err(start)?;
    let id = child.id().unwrap_or_default();
    let mut received = [0; READY.len()];
    tokio::select! {
        result = ours.recv(&mut received) => match result {
            Ok(_) if received == READY => return Ok(id),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot receive from the new process"),
        },
        ended = child.wait() => return Err(ended.map_or_else(UpgradeError::Sockets, UpgradeError::Ended)),
        () = sleep(READY_TIMEOUT) => {}
    }
    child.kill().await.map_err(UpgradeError::Sockets)?;
    Err(UpgradeError::Timeout(READY_TIMEOUT))
}
