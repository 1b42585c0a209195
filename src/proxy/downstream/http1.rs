//! A client's connection of HTTP/1: request after request, each answered before the next is read.
//!
//! One future owns the socket and runs the exchange in itself. It reads where a head is awaited or a body is asked for, and
//! otherwise only to learn that the client has left. Between requests it holds no buffer.

use super::service::respond;
use super::write_buffer::{Coding, Outgoing};
use crate::proxy::LocalReply;
use crate::proxy::exchange::body::{BodyError, RequestBody, ResponseBody};
use crate::proxy::exchange::body_channel::Inbox;
use crate::proxy::exchange::client::Client;
use crate::proxy::exchange::response::{Answer, Content};
use crate::proxy::http1::date::http_date;
use crate::proxy::http1::fields;
use crate::proxy::http1::header_rules::{accepts_trailers, lines};
use crate::proxy::http1::{Received, has_end, line, receive};
use crate::proxy::io::lingering_close::LingeringClose;
use crate::proxy::io::read_buffer;
use crate::proxy::tunnel::Tunnel;
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

/// How HTTP/2 connections begin (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end. Where `may_be_http2`, it may begin as HTTP/2 does: then the socket comes back, with
/// what was read of it.
pub(crate) async fn serve<T>(
    stream: T,
    client: Arc<Client>,
    mut may_be_http2: bool,
) -> Result<Option<(T, Bytes)>, BodyError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (input, outgoing) = (Bytes::new(), Outgoing::default());
    let mut connection = Connection { stream, client: &client, input, outgoing, expects: false };
    let mut parts = Request::new(()).into_parts().0;
    loop {
        let mut seen = 0;
        let after = match poll_fn(|cx| connection.poll_head(cx, &mut parts, may_be_http2, &mut seen)).await? {
            Next::Request(received) => connection.exchange(&mut parts, received).await?,
            Next::Refused(refusal) => connection.refuse(refusal).await?,
            Next::Http2 => return Ok(Some((connection.stream, connection.input))),
            Next::End => After::Close,
        };
        may_be_http2 = false;
        match after {
            After::Next => {}
            After::Close => break,
            After::Tunnel(tunnel) => {
                read_buffer::release_if_empty(&mut connection.input);
                tokio::spawn(tunnel.run(connection.stream, connection.input));
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
    /// Read, and not yet taken.
    input: Bytes,
    outgoing: Outgoing,
    /// The client sends no body before it is told to.
    expects: bool,
}

/// What a client begins with.
enum Next {
    Request(Received),
    Refused(LocalReply),
    Http2,
    /// Nothing any more.
    End,
}

/// What comes after an exchange.
enum After {
    Next,
    Close,
    Tunnel(Box<Tunnel>),
}

/// A response on its way.
struct Sending {
    body: ResponseBody,
    coding: Coding,
    is_ended: bool,
    /// It broke off, and is not to end as if it were whole.
    failed: Option<BodyError>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<'_, T> {
    /// Reads up to the end of a request's head. `seen` is how much of it was looked at before.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        parts: &mut Parts,
        may_be_http2: bool,
        seen: &mut usize,
    ) -> Poll<io::Result<Next>> {
        let client = self.client;
        loop {
            while self.input.starts_with(b"\r\n") {
                self.input.advance(2);
            }
            let input = &self.input;
            if may_be_http2 && HTTP2_PREFACE.starts_with(&input[..input.len().min(HTTP2_PREFACE.len())]) {
                if input.len() >= HTTP2_PREFACE.len() {
                    return Poll::Ready(Ok(Next::Http2));
                }
            } else if !input.is_empty() && (*seen == 0 || has_end(input, *seen) || is_long(input, client)) {
                match receive(input, &client.settings.limits, parts) {
                    Ok(Some(received)) => {
                        self.input.advance(received.length);
                        return Poll::Ready(Ok(Next::Request(received)));
                    }
                    Ok(None) => {}
                    Err(refusal) => return Poll::Ready(Ok(Next::Refused(refusal))),
                }
            }
            *seen = self.input.len();
            if client.activity.is_late() {
                return Poll::Ready(Ok(Next::Refused(LocalReply::RequestTimeout)));
            }
            if self.input.is_empty() {
                if client.activity.is_stopped() {
                    return Poll::Ready(Ok(Next::End));
                }
            } else {
                client.activity.note_head(true);
                read_buffer::detach(&mut self.input);
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Ok(Next::End));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(read_buffer::poll_read(&mut self.stream, cx, &mut self.input))?;
        self.client.activity.note_read();
        Poll::Ready(Ok(count))
    }

    async fn exchange(&mut self, parts: &mut Parts, received: Received) -> Result<After, BodyError> {
        let inbox =
            (!received.framing.is_done()).then(|| Inbox::new(std::mem::take(&mut self.input), received.framing));
        self.expects = received.expects && inbox.is_some();
        let answer = {
            let body = inbox.clone().map(|inbox| RequestBody::of(inbox, self.client));
            let mut answering = pin!(respond(self.client, parts, received.fields, body));
            poll_fn(|cx| {
                loop {
                    if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                        return Poll::Ready(Ok::<_, io::Error>(answer));
                    }
                    ready!(self.poll_client(cx, inbox.as_ref()))?;
                }
            })
            .await?
        };
        // A body that was never asked for may come or not: what follows cannot be told from it.
        let is_owed = std::mem::take(&mut self.expects);
        let keeps = received.keep_alive && !is_owed && !inbox.as_ref().is_some_and(Inbox::is_left_unread);
        let trailers = received.fields.has(fields::TE) && lines(&parts.headers, &TE).any(accepts_trailers);
        let to_head = parts.method == Method::HEAD;
        // The request is answered: nothing of it is to stay in memory while the connection lies idle.
        (parts.headers, parts.uri) = (HeaderMap::new(), Uri::default());
        let (mut sending, keeps) = match self.begin(answer, parts.version, to_head, trailers, keeps) {
            Begun::Body(sending, keeps) => (sending, keeps),
            Begun::Tunnel(tunnel) => {
                poll_fn(|cx| self.poll_flush(cx)).await?;
                return Ok(After::Tunnel(tunnel));
            }
        };
        poll_fn(|cx| self.poll_send(cx, &mut sending, inbox.as_ref())).await?;
        drop(sending);
        self.outgoing = Outgoing::default();
        Ok(self.after(keeps, inbox))
    }

    /// Puts the head of a response on its way. `keeps` says whether the connection may live on.
    fn begin(&mut self, answer: Answer, version: Version, to_head: bool, trailers: bool, mut keeps: bool) -> Begun {
        let Answer { status, mut lines, length, is_dated, is_last, content } = answer;
        let is_http_10 = version == Version::HTTP_10;
        if is_http_10 && let Some(minor) = lines.get_mut(b"HTTP/1.".len()) {
            *minor = b'0';
        }
        if !is_dated {
            line(&mut lines, DATE.as_str(), &http_date(self.client.shared.clock.now()));
        }
        let body = match content {
            Content::Body(body) => body,
            Content::Tunnel(tunnel) => {
                lines.extend_from_slice(b"\r\n");
                self.outgoing.lines(lines);
                return Begun::Tunnel(tunnel);
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
        self.outgoing.lines(lines);
        let is_ended = is_bodiless || (coding == Coding::Plain && body.is_end_stream());
        Begun::Body(Sending { body, coding, is_ended, failed: None }, keeps)
    }

    /// Sends the response to its end, head and all.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        sending: &mut Sending,
        inbox: Option<&Inbox>,
    ) -> Poll<Result<(), BodyError>> {
        loop {
            let is_starved = self.fill(cx, sending);
            let written = self.outgoing.poll_write(cx, &mut self.stream, &self.client.activity)?;
            if written.is_ready() {
                if sending.is_ended {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                    return Poll::Ready(sending.failed.take().map_or(Ok(()), Err));
                }
                if !is_starved {
                    continue;
                }
                // What is held back (TLS records) must go. It is asked again if it cannot yet.
                let _ = Pin::new(&mut self.stream).poll_flush(cx)?;
            }
            ready!(self.poll_client(cx, inbox))?;
        }
    }

    /// Takes of the response what there is room for. True if there was not enough.
    fn fill(&mut self, cx: &mut Context<'_>, sending: &mut Sending) -> bool {
        while !sending.is_ended && self.outgoing.has_room() {
            let Poll::Ready(frame) = Pin::new(&mut sending.body).poll_frame(cx) else { return true };
            match frame {
                Some(Ok(frame)) => {
                    sending.is_ended = self.outgoing.frame(frame, sending.coding)
                        || (sending.coding == Coding::Plain && sending.body.is_end_stream());
                }
                Some(Err(error)) => {
                    sending.failed = Some(error);
                    sending.is_ended = true;
                }
                None => {
                    self.outgoing.end(sending.coding);
                    sending.is_ended = true;
                }
            }
        }
        false
    }

    /// Looks after the client while an exchange is under way. Ready when there is more of the request's body, with an
    /// error when the client is gone.
    fn poll_client(&mut self, cx: &mut Context<'_>, inbox: Option<&Inbox>) -> Poll<io::Result<()>> {
        if let Some(inbox) = inbox {
            let mut inbox = inbox.lock();
            if !inbox.is_whole() {
                if !inbox.is_wanted {
                    return Poll::Pending;
                }
                if std::mem::take(&mut self.expects) {
                    self.outgoing.lines(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
                }
                // It is asked again if it cannot go yet.
                let _ = self.poll_flush(cx)?;
                let count = ready!(read_buffer::poll_read(&mut self.stream, cx, &mut inbox.input))?;
                self.client.activity.note_read();
                inbox.is_wanted = false;
                inbox.is_closed = count == 0;
                return Poll::Ready(Ok(()));
            }
            if !inbox.input.is_empty() {
                return Poll::Pending;
            }
        }
        if self.input.is_empty() && ready!(self.poll_read(cx))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Pending
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_write(cx, &mut self.stream, &self.client.activity))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Whether another request may follow, now that one is answered.
    fn after(&mut self, keeps: bool, inbox: Option<Inbox>) -> After {
        if let Some(inbox) = inbox {
            let mut inbox = inbox.lock();
            if !inbox.discard() {
                self.client.activity.note_unread();
                return After::Close;
            }
            let behind = std::mem::take(&mut inbox.input);
            if self.input.is_empty() {
                self.input = behind;
            }
        }
        if keeps && !self.client.activity.is_stopped() { After::Next } else { After::Close }
    }

    /// Answers what is no request. Nobody knows where the next one would begin.
    async fn refuse(&mut self, refusal: LocalReply) -> Result<After, BodyError> {
        self.client.shared.refusals.count(refusal);
        self.client.activity.note_unread();
        self.client.activity.note_head(false);
        let answer = Answer::local_reply(refusal, true);
        if let Begun::Body(mut sending, _) = self.begin(answer, Version::HTTP_11, false, false, false) {
            poll_fn(|cx| self.poll_send(cx, &mut sending, None)).await?;
        }
        Ok(After::Close)
    }

    async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        if self.client.activity.has_unread() || !self.input.is_empty() {
            let mut linger = LingeringClose::default();
            poll_fn(|cx| linger.poll(cx, &mut self.stream)).await;
        }
        Ok(())
    }
}

enum Begun {
    Body(Sending, bool),
    Tunnel(Box<Tunnel>),
}

/// Whether it is for the parser to say that a head is too long.
fn is_long(input: &[u8], client: &Client) -> bool {
    let limits = &client.settings.limits;
    input.len() > limits.uri_bytes + limits.header_bytes
}
