//! The body of an HTTP/1.1 request between the server that reads it and the exchange that sends it on.
//!
//! One task polls both: the exchange notes that it wants more, and the server, which owns the socket, then reads and
//! polls the exchange again. So nothing is read before it is wanted, and no waker is involved.

use crate::proxy::http1::{Framing, Piece};
use crate::proxy::io::read_buffer;
use crate::proxy::upstream::error::UploadError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::task::Poll;

/// One end; the server and the body have one each.
#[derive(Clone, Debug)]
pub(crate) struct BodyChannel(Arc<Mutex<ChannelState>>);

#[derive(Debug)]
pub(crate) struct ChannelState {
    /// Read, and not yet decoded.
    pub(crate) input: Bytes,
    framing: Framing,
    /// A frame was asked for, and there was too little input.
    pub(crate) is_wanted: bool,
    /// The client has closed its side.
    pub(crate) is_closed: bool,
    /// The receiving end is gone.
    is_dropped: bool,
}

impl BodyChannel {
    /// A body whose first bytes were read together with its head.
    pub(crate) fn new(input: Bytes, framing: Framing) -> Self {
        let state = ChannelState { input, framing, is_wanted: false, is_closed: false, is_dropped: false };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ChannelState> {
        self.0.lock()
    }

    pub(crate) fn poll_frame(&self) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let mut state = self.lock();
        let ChannelState { input, framing, .. } = &mut *state;
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

    pub(crate) fn is_complete(&self) -> bool {
        self.lock().framing.is_done()
    }

    /// The receiving end is dropped.
    pub(crate) fn drop_receiver(&self) {
        self.lock().is_dropped = true;
    }

    /// Whether the rest of the body will stay unread.
    pub(crate) fn is_left_unread(&self) -> bool {
        let state = self.lock();
        state.is_dropped && !state.framing.is_done()
    }
}

impl ChannelState {
    pub(crate) fn is_complete(&self) -> bool {
        self.framing.is_done()
    }

    /// Discards what has come of the rest. True if that completes the body.
    pub(crate) fn discard(&mut self) -> bool {
        while let Ok(Piece::Data(_) | Piece::Trailers(_)) = self.framing.decode(&mut self.input) {}
        self.framing.is_done()
    }
}
