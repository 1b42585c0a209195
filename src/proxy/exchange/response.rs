//! The response to a request before it is known how it is written: as lines for HTTP/1.1, or as a map of fields for
//! hyper.

use super::response_body::ResponseBody;
use super::upgrade::Upgrade;
use crate::proxy::http1::{ResponseHead, fields_of, line, status_line};
use crate::proxy::local_reply::LocalReply;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// An upstream's response or a local reply.
#[derive(Debug)]
pub(crate) struct DownstreamResponse {
    pub(crate) status: StatusCode,
    /// The status line and the fields, without those that say how the body is framed.
    pub(crate) lines: Vec<u8>,
    /// The length of the body, or of what it would be in another response.
    pub(crate) length: Option<u64>,
    /// `Date` is among the fields.
    pub(crate) is_dated: bool,
    /// Nothing can follow on the connection.
    pub(crate) is_last: bool,
    pub(crate) content: Content,
}

/// What follows the head.
#[derive(Debug)]
pub(crate) enum Content {
    Body(ResponseBody),
    /// After a 101.
    Upgrade(Box<Upgrade>),
}

impl DownstreamResponse {
    /// The head of an upstream's response; its content is still to be set.
    pub(crate) fn from_upstream(head: ResponseHead) -> Self {
        let ResponseHead { status, lines, length, is_dated, protocol, .. } = head;
        let content = Content::Body(ResponseBody::text(""));
        let mut response = Self { status, lines, length, is_dated, is_last: false, content };
        if let Some(protocol) = protocol.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) {
            response.add(&CONNECTION, b"upgrade");
            response.add(&UPGRADE, &protocol);
        }
        response
    }

    /// A local reply. `has_unread` says that the request's body will not be read.
    pub(crate) fn local(reply: LocalReply, has_unread: bool) -> Self {
        let (status, text) = (reply.status(), reply.text());
        let mut response = Self {
            status,
            lines: status_line(status, status.canonical_reason().unwrap_or_default(), 512),
            length: Some(text.len() as u64),
            is_dated: false,
            // Where the next request begins is unknown after a bad one, and far off behind a body that stays unread.
            is_last: status.is_client_error() || has_unread,
            content: Content::Body(ResponseBody::text(text)),
        };
        response.add(&CONTENT_TYPE, b"text/plain; charset=utf-8");
        response.add(&CACHE_CONTROL, b"no-store");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.add(&RETRY_AFTER, b"1");
        }
        response
    }

    /// Removes every field of this name: the proxy alone sets it.
    pub(crate) fn remove(&mut self, name: &HeaderName) {
        let is_named = |line: &[u8]| {
            let field = line.split_at_checked(name.as_str().len());
            field.is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(name.as_str().as_bytes()) && rest.starts_with(b":")
            })
        };
        if self.lines.split_inclusive(|byte| *byte == b'\n').any(is_named) {
            let kept = self.lines.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_named(line));
            self.lines = kept.flatten().copied().collect();
        }
    }

    pub(crate) fn add(&mut self, name: &HeaderName, value: &[u8]) {
        line(&mut self.lines, name.as_str(), value);
    }

    /// For hyper's server, which frames it. After a 101 the tunnel waits for `on_upgrade` in a task of its own.
    pub(crate) fn into_response(self, received: Version, on_upgrade: Option<OnUpgrade>) -> Response<ResponseBody> {
        let body = match self.content {
            Content::Body(body) => body,
            Content::Upgrade(upgrade) => {
                if let Some(on_upgrade) = on_upgrade {
                    tokio::spawn(async move {
                        if let Ok(client) = on_upgrade.await {
                            upgrade.run(TokioIo::new(client), bytes::Bytes::new()).await;
                        }
                    });
                }
                ResponseBody::text("")
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = fields_of(self.lines);
        if let Some(length) = self.length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if self.is_last && received <= Version::HTTP_11 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
