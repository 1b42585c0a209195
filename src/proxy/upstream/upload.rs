//! A request's body on its way to the upstream.
//!
//! It comes frame by frame from any [`Body`], is framed for HTTP/1.1, and waits in a bounded queue for the upstream
//! to take it: that is the back-pressure from upstream to client. Whose body it is, an upload does not know.

use super::error::UploadError;
use crate::proxy::http1::{CHUNK_END, Length, write_chunk_size, write_last_chunk};
use crate::proxy::io::write::poll_write_all;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// No more than this is taken from the client before the upstream has taken some.
const MAX_QUEUED: usize = 64 * 1024;
/// Nor in more pieces: each takes more room than its bytes where they are few.
const MAX_PIECES: usize = 1024;

/// A body between the client, from which it comes frame by frame, and the upstream.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    body: B,
    /// What is still to come of a known length; `None` for a chunked body.
    left: Option<u64>,
    queue: PieceQueue,
    ended: bool,
    waits: bool,
    /// How many frames have come.
    pub(crate) frames: u32,
}

impl<B: Body<Data = Bytes, Error = UploadError> + Unpin> Upload<B> {
    pub(crate) fn new(body: B) -> Self {
        let left = body.size_hint().exact();
        Self { body, left, queue: PieceQueue::default(), ended: false, waits: false, frames: 0 }
    }

    pub(crate) fn length(&self) -> Length {
        self.left.map_or(Length::Chunked, Length::Exact)
    }

    /// Whether the next step is the client's.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits && self.queue.pieces.is_empty()
    }

    /// Whether all of it has been written.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && self.queue.pieces.is_empty()
    }

    /// Takes in what the client has sent, as far as there is room.
    pub(crate) fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), UploadError> {
        self.waits = false;
        while !self.ended && self.queue.length < MAX_QUEUED && self.queue.pieces.len() < MAX_PIECES {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    self.waits = true;
                    return Ok(());
                }
                Poll::Ready(frame) => self.push_frame(frame.transpose()?)?,
            }
        }
        Ok(())
    }

    fn push_frame(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), UploadError> {
        self.frames = self.frames.wrapping_add(1);
        match (frame.map(Frame::into_data), &mut self.left) {
            (Some(Ok(data)), Some(left)) => {
                *left = left.checked_sub(data.len() as u64).ok_or(UploadError::Length)?;
                self.queue.push(data);
            }
            (Some(Ok(data)), None) if !data.is_empty() => {
                let mut size = Vec::with_capacity(size_of::<usize>() * 2 + 2);
                write_chunk_size(&mut size, data.len());
                self.queue.push(size.into());
                self.queue.push(data);
                self.queue.push(Bytes::from_static(CHUNK_END));
            }
            (Some(Ok(_)), None) => {}
            // Behind a body of known length HTTP/1.1 has no place for trailers.
            (Some(Err(_)), Some(_)) => {}
            (Some(Err(frame)), None) => self.end_chunks(&frame.into_trailers().unwrap_or_default()),
            (None, Some(0)) => self.ended = true,
            (None, Some(_)) => return Err(UploadError::Length),
            (None, None) => self.end_chunks(&HeaderMap::new()),
        }
        // The end of a body of known length is known without asking for it.
        self.ended |= self.left == Some(0);
        Ok(())
    }

    fn end_chunks(&mut self, trailers: &HeaderMap) {
        let mut last = Vec::new();
        write_last_chunk(&mut last, trailers);
        self.queue.push(last.into());
        self.ended = true;
    }

    /// Writes what is left of the head, and what there is of the body behind it, in one go. Adds to `sent` what was
    /// written of the head.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        head: &[u8],
        sent: &mut usize,
    ) -> Poll<io::Result<()>> {
        let mut rest = &head[*sent..];
        let written = poll_write_all(stream, cx, &mut (&mut rest).chain(&mut self.queue), |_| {});
        *sent = head.len() - rest.len();
        written
    }
}

/// A body's bytes, framed and not yet written. No piece is empty.
#[derive(Debug, Default)]
struct PieceQueue {
    pieces: VecDeque<Bytes>,
    /// Of all pieces together.
    length: usize,
}

impl PieceQueue {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for PieceQueue {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// The body of requests that have none, such as probes.
#[derive(Debug)]
pub(crate) enum NoBody {}

impl Body for NoBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match *self {}
    }
}
