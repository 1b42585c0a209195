//! The body of an HTTP/1 request between the connection it comes on and whoever takes it.
//!
//! Both are polled by one task: who takes says that more is wanted, and the connection's loop, which owns the socket,
//! reads then and polls it again. So nothing is read that nobody has asked for, and nobody needs to be woken.

use crate::proxy::http1::{Framing, Piece};
use crate::proxy::io::read_buffer;
use crate::proxy::upstream::upload::UploadError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::task::Poll;

/// One end of it; the connection and the body have one each.
#[derive(Clone, Debug)]
pub(crate) struct Inbox(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    /// Read, and not yet taken.
    pub(crate) input: Bytes,
    framing: Framing,
    /// The body was asked for, and there was too little of it.
    pub(crate) is_wanted: bool,
    /// The client has closed its side.
    pub(crate) is_closed: bool,
    /// Nobody will ask for it any more.
    is_left: bool,
}

impl Inbox {
    /// A body that begins in what was read behind its head.
    pub(crate) fn new(input: Bytes, framing: Framing) -> Self {
        let state = State { input, framing, is_wanted: false, is_closed: false, is_left: false };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    pub(crate) fn poll_frame(&self) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let mut state = self.lock();
        let State { input, framing, .. } = &mut *state;
        Poll::Ready(match framing.decode(input) {
            Ok(Piece::Data(data)) => Some(Ok(Frame::data(read_buffer::detach_if_small(data)))),
            Ok(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Piece::End) => None,
            Ok(Piece::Starved) if state.is_closed => Some(Err(UploadError::Closed)),
            Ok(Piece::Starved) => {
                read_buffer::detach(&mut state.input);
                state.is_wanted = true;
                return Poll::Pending;
            }
            Err(error) => Some(Err(error.into())),
        })
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.lock().framing.size_hint()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.lock().framing.is_done()
    }

    /// The body is dropped.
    pub(crate) fn leave(&self) {
        self.lock().is_left = true;
    }

    /// Whether the rest of the body will stay in the socket.
    pub(crate) fn is_left_unread(&self) -> bool {
        let state = self.lock();
        state.is_left && !state.framing.is_done()
    }
}

impl State {
    pub(crate) fn is_whole(&self) -> bool {
        self.framing.is_done()
    }

    /// Throws away what has come of the rest. True if that was all of it.
    pub(crate) fn discard(&mut self) -> bool {
        while let Ok(Piece::Data(_) | Piece::Trailers(_)) = self.framing.decode(&mut self.input) {}
        self.framing.is_done()
    }
}
