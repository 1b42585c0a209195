//! Serves HTTP/1.1 to a client: request after request, each answered before the next is read.
//!
//! One future owns the socket and runs the exchange in itself. It reads where a head is awaited or a body is asked
//! for, and otherwise only to learn that the client has left. Between requests it holds no buffer.

use super::write_buffer::{Coding, WriteBuffer};
use crate::http::header_map::values;
use crate::proxy::exchange::body_channel::BodyChannel;
use crate::proxy::exchange::client::Client;
use crate::proxy::exchange::request_body::RequestBody;
use crate::proxy::exchange::respond::respond;
use crate::proxy::exchange::response::{Content, DownstreamResponse};
use crate::proxy::exchange::response_body::ResponseBody;
use crate::proxy::exchange::upgrade::Upgrade;
use crate::proxy::http1::date::http_date;
use crate::proxy::http1::fields;
use crate::proxy::http1::header_rules::accepts_trailers;
use crate::proxy::http1::{Received, has_end, line, receive};
use crate::proxy::io::lingering_close::LingeringClose;
use crate::proxy::io::read_buffer;
use crate::proxy::local_reply::LocalReply;
use crate::proxy::upstream::error::BodyError;
use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body::Body;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// The beginning of an HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end. Where `may_be_http2` and it begins as HTTP/2 does, the socket comes back with what
/// was read of it.
pub(crate) async fn serve<T>(
    stream: T,
    client: Arc<Client>,
    mut may_be_http2: bool,
) -> Result<Option<(T, Bytes)>, BodyError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (unread, write_buffer) = (Bytes::new(), WriteBuffer::default());
    let mut connection = Connection { stream, client: &client, unread, write_buffer, expects: false };
    let mut parts = Request::new(()).into_parts().0;
    loop {
        let mut seen = 0;
        let after = match poll_fn(|cx| connection.poll_head(cx, &mut parts, may_be_http2, &mut seen)).await? {
            Next::Request(received) => connection.exchange(&mut parts, received).await?,
            Next::Rejected(reply) => connection.reject(reply).await?,
            Next::Http2 => return Ok(Some((connection.stream, connection.unread))),
            Next::End => After::Close,
        };
        may_be_http2 = false;
        match after {
            After::Next => {}
            After::Close => break,
            After::Upgrade(upgrade) => {
                read_buffer::release_if_empty(&mut connection.unread);
                tokio::spawn(upgrade.run(connection.stream, connection.unread));
                return Ok(None);
            }
        }
    }
    connection.close().await?;
    Ok(None)
}

struct Connection<'c, T> {
    stream: T,
    client: &'c Arc<Client>,
    /// Read, and not yet consumed.
    unread: Bytes,
    write_buffer: WriteBuffer,
    /// The client waits for `100 Continue` before it sends its body.
    expects: bool,
}

/// What a client sends next.
enum Next {
    Request(Received),
    Rejected(LocalReply),
    Http2,
    /// Nothing: the connection ends.
    End,
}

/// What comes after an exchange.
enum After {
    Next,
    Close,
    Upgrade(Box<Upgrade>),
}

/// A response on its way.
struct Sending {
    body: ResponseBody,
    coding: Coding,
    is_ended: bool,
    /// The body broke off, and must not end as if it were complete.
    failed: Option<BodyError>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<'_, T> {
    /// Reads up to the end of a request's head. `seen` is how much of it was searched before.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        parts: &mut Parts,
        may_be_http2: bool,
        seen: &mut usize,
    ) -> Poll<io::Result<Next>> {
        let client = self.client;
        loop {
            while self.unread.starts_with(b"\r\n") {
                self.unread.advance(2);
            }
            let input = &self.unread;
            if may_be_http2 && HTTP2_PREFACE.starts_with(&input[..input.len().min(HTTP2_PREFACE.len())]) {
                if input.len() >= HTTP2_PREFACE.len() {
                    return Poll::Ready(Ok(Next::Http2));
                }
            } else if !input.is_empty() && (*seen == 0 || has_end(input, *seen) || is_long(input, client)) {
                match receive(input, &client.settings.limits, parts) {
                    Ok(Some(received)) => {
                        self.unread.advance(received.length);
                        return Poll::Ready(Ok(Next::Request(received)));
                    }
                    Ok(None) => {}
                    Err(reply) => return Poll::Ready(Ok(Next::Rejected(reply))),
                }
            }
            *seen = self.unread.len();
            if client.activity.is_late() {
                return Poll::Ready(Ok(Next::Rejected(LocalReply::RequestTimeout)));
            }
            if self.unread.is_empty() {
                if client.activity.is_stopped() {
                    return Poll::Ready(Ok(Next::End));
                }
            } else {
                client.activity.note_head(true);
                read_buffer::detach(&mut self.unread);
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Ok(Next::End));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(read_buffer::poll_read(&mut self.stream, cx, &mut self.unread))?;
        self.client.activity.note_read();
        Poll::Ready(Ok(count))
    }

    async fn exchange(&mut self, parts: &mut Parts, received: Received) -> Result<After, BodyError> {
        let channel =
            (!received.framing.is_done()).then(|| BodyChannel::new(std::mem::take(&mut self.unread), received.framing));
        self.expects = received.expects && channel.is_some();
        let response = {
            let body = channel.clone().map(|channel| RequestBody::from_channel(channel, self.client));
            let mut answering = pin!(respond(self.client, parts, received.fields, body));
            poll_fn(|cx| {
                loop {
                    if let Poll::Ready(response) = answering.as_mut().poll(cx) {
                        return Poll::Ready(Ok::<_, io::Error>(response));
                    }
                    ready!(self.poll_client(cx, channel.as_ref()))?;
                }
            })
            .await?
        };
        // A body that was never asked for may come or not, and the next request cannot be told from it.
        let is_owed = std::mem::take(&mut self.expects);
        let keeps = received.keep_alive && !is_owed && !channel.as_ref().is_some_and(BodyChannel::is_left_unread);
        let trailers = received.fields.has(fields::TE) && values(&parts.headers, &TE).any(accepts_trailers);
        let to_head = parts.method == Method::HEAD;
        // The request is answered: nothing of it stays in memory while the connection is idle.
        (parts.headers, parts.uri) = (HeaderMap::new(), Uri::default());
        let (mut sending, keeps) = match self.begin(response, parts.version, to_head, trailers, keeps) {
            Begun::Body(sending, keeps) => (sending, keeps),
            Begun::Upgrade(upgrade) => {
                poll_fn(|cx| self.poll_flush(cx)).await?;
                return Ok(After::Upgrade(upgrade));
            }
        };
        poll_fn(|cx| self.poll_send(cx, &mut sending, channel.as_ref())).await?;
        drop(sending);
        self.write_buffer = WriteBuffer::default();
        Ok(self.after(keeps, channel))
    }

    /// Begins a response with its head. `keeps` says whether the connection may stay open.
    fn begin(
        &mut self,
        response: DownstreamResponse,
        version: Version,
        to_head: bool,
        trailers: bool,
        mut keeps: bool,
    ) -> Begun {
        let DownstreamResponse { status, mut lines, length, is_dated, is_last, content } = response;
        let is_http_10 = version == Version::HTTP_10;
        if is_http_10 && let Some(minor) = lines.get_mut(b"HTTP/1.".len()) {
            *minor = b'0';
        }
        if !is_dated {
            line(&mut lines, DATE.as_str(), &http_date(self.client.worker.clock.now()));
        }
        let body = match content {
            Content::Body(body) => body,
            Content::Upgrade(upgrade) => {
                lines.extend_from_slice(b"\r\n");
                self.write_buffer.push_head(lines);
                return Begun::Upgrade(upgrade);
            }
        };
        let has_no_length = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_bodiless = to_head || has_no_length;
        let mut coding = Coding::Plain;
        match length {
            _ if has_no_length => {}
            Some(length) => {
                line(&mut lines, CONTENT_LENGTH.as_str(), itoa::Buffer::new().format(length).as_bytes());
            }
            None if is_bodiless => {}
            None if is_http_10 => keeps = false,
            None => {
                coding = Coding::Chunked { trailers };
                line(&mut lines, TRANSFER_ENCODING.as_str(), b"chunked");
            }
        }
        keeps &= !is_last && !self.client.activity.is_stopped();
        match (keeps, is_http_10) {
            (true, false) => {}
            (true, true) => line(&mut lines, CONNECTION.as_str(), b"keep-alive"),
            (false, _) => line(&mut lines, CONNECTION.as_str(), b"close"),
        }
        lines.extend_from_slice(b"\r\n");
        self.write_buffer.push_head(lines);
        let is_ended = is_bodiless || (coding == Coding::Plain && body.is_end_stream());
        Begun::Body(Sending { body, coding, is_ended, failed: None }, keeps)
    }

    /// Sends the response to its end, head and all.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        sending: &mut Sending,
        channel: Option<&BodyChannel>,
    ) -> Poll<Result<(), BodyError>> {
        loop {
            let is_starved = self.fill(cx, sending);
            let written = self.write_buffer.poll_write(cx, &mut self.stream, &self.client.activity)?;
            if written.is_ready() {
                if sending.is_ended {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                    return Poll::Ready(sending.failed.take().map_or(Ok(()), Err));
                }
                if !is_starved {
                    continue;
                }
                // What the stream holds back (TLS records) must go. The flush is polled again if it is pending.
                let _ = Pin::new(&mut self.stream).poll_flush(cx)?;
            }
            ready!(self.poll_client(cx, channel))?;
        }
    }

    /// Takes of the response what there is room for. True if the body is starved: it has nothing ready.
    fn fill(&mut self, cx: &mut Context<'_>, sending: &mut Sending) -> bool {
        while !sending.is_ended && self.write_buffer.has_room() {
            let Poll::Ready(frame) = Pin::new(&mut sending.body).poll_frame(cx) else { return true };
            match frame {
                Some(Ok(frame)) => {
                    sending.is_ended = self.write_buffer.push_frame(frame, sending.coding)
                        || (sending.coding == Coding::Plain && sending.body.is_end_stream());
                }
                Some(Err(error)) => {
                    sending.failed = Some(error);
                    sending.is_ended = true;
                }
                None => {
                    self.write_buffer.end(sending.coding);
                    sending.is_ended = true;
                }
            }
        }
        false
    }

    /// Polls the client while an exchange is under way. Ready when there is more of the request's body, with an error
    /// when the client is gone.
    fn poll_client(&mut self, cx: &mut Context<'_>, channel: Option<&BodyChannel>) -> Poll<io::Result<()>> {
        if let Some(channel) = channel {
            let mut channel = channel.lock();
            if !channel.is_complete() {
                if !channel.is_wanted {
                    return Poll::Pending;
                }
                if std::mem::take(&mut self.expects) {
                    self.write_buffer.push_head(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
                }
                // The flush is polled again if it is pending.
                let _ = self.poll_flush(cx)?;
                let count = ready!(read_buffer::poll_read(&mut self.stream, cx, &mut channel.input))?;
                self.client.activity.note_read();
                channel.is_wanted = false;
                channel.is_closed = count == 0;
                return Poll::Ready(Ok(()));
            }
            if !channel.input.is_empty() {
                return Poll::Pending;
            }
        }
        if self.unread.is_empty() && ready!(self.poll_read(cx))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Pending
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_buffer.poll_write(cx, &mut self.stream, &self.client.activity))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// What follows, now that a request is answered.
    fn after(&mut self, keeps: bool, channel: Option<BodyChannel>) -> After {
        if let Some(channel) = channel {
            let mut channel = channel.lock();
            if !channel.discard() {
                self.client.activity.note_unread();
                return After::Close;
            }
            let behind = std::mem::take(&mut channel.input);
            if self.unread.is_empty() {
                self.unread = behind;
            }
        }
        if keeps && !self.client.activity.is_stopped() { After::Next } else { After::Close }
    }

    /// Replies to what is no valid request. Where the next one would begin is unknown.
    async fn reject(&mut self, reply: LocalReply) -> Result<After, BodyError> {
        self.client.worker.local_replies.count(reply);
        self.client.activity.note_unread();
        self.client.activity.note_head(false);
        let response = DownstreamResponse::local(reply, true);
        if let Begun::Body(mut sending, _) = self.begin(response, Version::HTTP_11, false, false, false) {
            poll_fn(|cx| self.poll_send(cx, &mut sending, None)).await?;
        }
        Ok(After::Close)
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        if self.client.activity.has_unread() || !self.unread.is_empty() {
            let mut lingering_close = LingeringClose::default();
            poll_fn(|cx| lingering_close.poll(cx, &mut self.stream)).await;
        }
        Ok(())
    }
}

enum Begun {
    Body(Sending, bool),
    Upgrade(Box<Upgrade>),
}

/// Whether the input is so long that the parser has to decide whether the head is too long.
fn is_long(input: &[u8], client: &Client) -> bool {
    let limits = &client.settings.limits;
    input.len() > limits.uri_bytes + limits.header_bytes
}
