//! A request's body on its way to the upstream.

use super::metered::Counted;
use crate::proxy::exchange::body::RequestBody;
use crate::proxy::http1::{Length, Malformed};
use crate::proxy::io::write::poll_write_vectored;
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// No more than this is taken from the client before the upstream has taken some.
const QUEUE: usize = 64 * 1024;
/// Nor in more pieces: each takes more room than its bytes where they are few.
const PIECES: usize = 1024;
/// The most pieces that go out in one write.
const SLICES: usize = 16;

const LINE_END: Bytes = Bytes::from_static(b"\r\n");

/// Why an upload broke off.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client broke off or sent what is not HTTP.
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    /// The client sent what is not HTTP.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The client closed its side before the end of the body.
    #[error("the client closed its side before the end of the body")]
    Closed,
    /// The client reset its stream.
    #[error("the client reset the stream before the end of the body")]
    Reset,
    /// The body is not as long as its head said.
    #[error("the body is not as long as its head said")]
    Length,
}

/// A body between the client, from whom it comes frame by frame, and the upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    body: RequestBody,
    /// What is still to come of a known length; `None` for a chunked body.
    left: Option<u64>,
    /// Framed for the upstream, and not yet written.
    queue: VecDeque<Bytes>,
    queued: usize,
    ended: bool,
    waits: bool,
    /// How many frames have come.
    pub(crate) frames: u32,
}

impl Upload {
    pub(crate) fn new(body: RequestBody) -> Self {
        let left = body.length();
        Self { body, left, queue: VecDeque::new(), queued: 0, ended: false, waits: false, frames: 0 }
    }

    pub(crate) fn length(&self) -> Length {
        self.left.map_or(Length::Chunked, Length::Exact)
    }

    /// Whether it is the client who has to go on.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits && self.queue.is_empty()
    }

    /// Whether all of it has been written.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    /// Takes in what the client has sent.
    pub(crate) fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), UploadError> {
        self.waits = false;
        while !self.ended && self.queued < QUEUE && self.queue.len() < PIECES {
            match self.body.poll_frame(cx) {
                Poll::Pending => {
                    self.waits = true;
                    return Ok(());
                }
                Poll::Ready(frame) => self.take(frame.transpose()?)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Option<http_body::Frame<Bytes>>) -> Result<(), UploadError> {
        self.frames = self.frames.wrapping_add(1);
        match (frame.map(http_body::Frame::into_data), &mut self.left) {
            (Some(Ok(data)), Some(left)) => {
                *left = left.checked_sub(data.len() as u64).ok_or(UploadError::Length)?;
                self.push(data);
            }
            (Some(Ok(data)), None) if !data.is_empty() => {
                self.push(format!("{:x}\r\n", data.len()).into());
                self.push(data);
                self.push(LINE_END);
            }
            (Some(Ok(_)), None) => {}
            // Behind a body of known length HTTP/1.1 has no place for trailers.
            (Some(Err(_)), Some(_)) => {}
            (Some(Err(frame)), None) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.push(last_chunk(&trailers));
                self.ended = true;
            }
            (None, Some(0)) => self.ended = true,
            (None, Some(_)) => return Err(UploadError::Length),
            (None, None) => {
                self.push(last_chunk(&HeaderMap::new()));
                self.ended = true;
            }
        }
        // Nothing follows, and nobody need ask.
        self.ended |= self.left == Some(0);
        Ok(())
    }

    fn push(&mut self, piece: Bytes) {
        self.queued += piece.len();
        if !piece.is_empty() {
            self.queue.push_back(piece);
        }
    }

    /// Writes what is left of the head, and what there is of the body behind it, in one go.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Counted,
        head: &[u8],
        sent: &mut usize,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let pieces = std::iter::once(&head[*sent..]).filter(|head| !head.is_empty());
            let pieces = pieces.chain(self.queue.iter().map(|piece| &**piece));
            let count = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            let written = std::task::ready!(poll_write_vectored(stream, cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len() - *sent);
            *sent += of_head;
            self.advance(written - of_head);
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(piece) = self.queue.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.queue.pop_front();
        }
    }
}

pub(crate) fn last_chunk(trailers: &HeaderMap) -> Bytes {
    let mut chunk = BytesMut::from(&b"0\r\n"[..]);
    for (name, value) in trailers {
        chunk.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    chunk.extend_from_slice(b"\r\n");
    chunk.freeze()
}
