//! Ends connections that are idle or slow for too long, or told to end.

use crate::proxy::exchange::activity::{Activity, Phase};
use crate::proxy::io::latched_waker::LatchedWaker;
use crate::proxy::io::timer::LazyTimer;
use crate::proxy::settings::Timeouts;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Sleep;

/// For how long a connection that has brought nothing yet is read when it is told to end.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// Why a connection ended before it was done.
pub(super) enum End {
    Broken(Box<dyn Error + Send + Sync>),
    Header,
    Stalled,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionKind {
    Http1,
    Http2,
}

impl ConnectionKind {
    /// The counter that tells an idle connection from a busy one. HTTP/2's pings do not make a connection busy.
    fn progress(self, activity: &Activity) -> u32 {
        match self {
            Self::Http1 => activity.progress(),
            Self::Http2 => activity.payload(),
        }
    }

    /// Bytes between exchanges begin the head of a request, but not in HTTP/2, which has control frames.
    fn phase(self, activity: &Activity) -> Phase {
        match activity.phase() {
            Phase::Head if self == Self::Http2 => Phase::Idle,
            phase => phase,
        }
    }
}

/// Drives a connection, and ends it when it is idle or slow for too long, or told to end.
///
/// One timer serves a connection for all of its life: for slow heads, idleness and stalls. It moves only when it
/// fires, and is polled only after its waker was woken, so that requests cost no timer operations. The price is
/// precision: an idle connection is closed after between one and two idle timeouts.
///
/// An idle connection is not closed under a request: where its listener goes or another process takes over, an HTTP/1
/// connection accepts one request more, answered with `Connection: close`. A request that meets a closing socket
/// cannot be told from one that was lost.
pub(super) struct Watchdog<'a, F> {
    activity: &'a Activity,
    timeouts: Timeouts,
    ending: Pin<&'a mut F>,
    /// The connection was told to end.
    is_ending: bool,
}

impl<'a, F: Future<Output = Duration>> Watchdog<'a, F> {
    pub(super) fn new(activity: &'a Activity, timeouts: Timeouts, ending: Pin<&'a mut F>) -> Self {
        Self { activity, timeouts, ending, is_ending: false }
    }

    /// Runs the connection to its end. `stop` tells it to accept no further request and to end with those it has.
    pub(super) async fn run<C, O, E>(
        &mut self,
        mut connection: Pin<&mut C>,
        kind: ConnectionKind,
        stop: impl Fn(Pin<&mut C>),
    ) -> Result<O, End>
    where
        C: Future<Output = Result<O, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let sleep = pin!(tokio::time::sleep(self.timeouts.header));
        let mut alarm = Alarm {
            // The first head has the same deadline as any other.
            timer: LazyTimer::from_sleep(sleep),
            for_head: false,
            asked: false,
            progress: kind.progress(self.activity),
        };
        if self.is_ending {
            stop(connection.as_mut());
        }
        // Set where the connection is told to end while it is idle: the next request may be in the socket already.
        let mut last_chance = None;
        let latch = LatchedWaker::new();
        let waker = Waker::from(Arc::clone(&latch));
        poll_fn(|cx| {
            let mut side = Context::from_waker(&waker);
            let woken = latch.take(cx);
            if woken
                && !self.is_ending
                && let Poll::Ready(linger) = self.ending.as_mut().poll(&mut side)
            {
                self.is_ending = true;
                let progress = self.activity.progress();
                let is_idle = kind == ConnectionKind::Http1 && kind.phase(self.activity) == Phase::Idle;
                let pause = match progress {
                    0 => linger.max(FIRST_BYTE),
                    _ if is_idle => linger,
                    _ => Duration::ZERO,
                };
                if pause.is_zero() {
                    stop(connection.as_mut());
                } else {
                    last_chance = Some(progress);
                    alarm.set(pause, kind.progress(self.activity));
                }
            }
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result.map_err(|error| End::Broken(error.into())));
                }
                if last_chance.is_some_and(|progress| self.activity.progress() != progress) {
                    last_chance = None;
                    stop(connection.as_mut());
                    continue;
                }
                let (phase, progress) = (kind.phase(self.activity), kind.progress(self.activity));
                match alarm.poll(woken, &mut side, phase, progress, self.timeouts) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                    Poll::Ready(Ok(())) => stop(connection.as_mut()),
                }
            }
        })
        .await
    }
}

struct Alarm<'a> {
    timer: LazyTimer<&'a mut Sleep>,
    /// It is set for a head that has begun, and not for idleness.
    for_head: bool,
    /// The connection was asked to end because it is idle.
    asked: bool,
    /// The progress of the connection when it was set.
    progress: u32,
}

impl Alarm<'_> {
    /// Ready when the connection has been idle for too long, or with an error when its client is too slow. `woken`
    /// says that the timer may have fired.
    fn poll(
        &mut self,
        woken: bool,
        cx: &mut Context<'_>,
        phase: Phase,
        progress: u32,
        timeouts: Timeouts,
    ) -> Poll<Result<(), End>> {
        let begun = phase == Phase::Head && !self.for_head;
        self.for_head = phase == Phase::Head;
        if begun {
            self.set(timeouts.header, progress);
        } else if !woken {
            return Poll::Pending;
        }
        while self.timer.poll(cx).is_ready() {
            let is_still = progress == self.progress;
            let was_asked = std::mem::take(&mut self.asked) && is_still;
            self.set(timeouts.idle, progress);
            match phase {
                Phase::Head => return Poll::Ready(Err(End::Header)),
                // It cannot even end: the client does not accept its last bytes.
                Phase::Idle if was_asked => return Poll::Ready(Err(End::Stalled)),
                Phase::Idle if is_still => {
                    self.asked = true;
                    return Poll::Ready(Ok(()));
                }
                Phase::Streaming if is_still => return Poll::Ready(Err(End::Stalled)),
                Phase::Idle | Phase::Streaming | Phase::Waiting => {}
            }
        }
        Poll::Pending
    }

    fn set(&mut self, after: Duration, progress: u32) {
        self.progress = progress;
        self.timer.restart(after);
    }
}
