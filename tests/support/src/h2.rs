//! An HTTP/2 client: hyper's, with a deadline on everything that it awaits.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::GUARD;
use super::certificate::{Certificate, NAME};

pub type Payload = UnsyncBoxBody<Bytes, hyper::Error>;
pub type Sender = SendRequest<Payload>;

/// A response read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }
}

pub async fn guard<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.expect("an end within the guard")
}

/// Connects with HTTP/2 from the first byte (prior knowledge).
pub async fn prior_knowledge(address: SocketAddr) -> Sender {
    handshake(guard(TcpStream::connect(address)).await.expect("connect to the gateway")).await
}

/// Connects over TLS with HTTP/2 negotiated by ALPN.
pub async fn over_tls(address: SocketAddr, certificate: &Certificate) -> Sender {
    let stream = guard(TcpStream::connect(address)).await.expect("connect to the gateway");
    let connector = TlsConnector::from(certificate.client(&["h2", "http/1.1"]));
    let name = ServerName::try_from(NAME).expect("a server name");
    let stream = guard(connector.connect(name, stream)).await.expect("a TLS handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    handshake(stream).await
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Sender {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = guard(handshake).await.expect("an HTTP/2 handshake");
    tokio::spawn(connection);
    sender
}

/// A request without a body, to which the caller may add fields.
pub fn get(target: &str) -> Request<Payload> {
    request("GET", target, empty())
}

pub fn request(method: &str, target: &str, body: Payload) -> Request<Payload> {
    let uri: Uri = format!("http://{NAME}{target}").parse().expect("a target");
    Request::builder().method(method).uri(uri).body(body).expect("a request")
}

pub fn empty() -> Payload {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(body: impl Into<Bytes>) -> Payload {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Sends a request and reads the head of the response.
pub async fn open(sender: &Sender, request: Request<Payload>) -> Response<Incoming> {
    try_open(sender, request).await.expect("a response")
}

pub async fn try_open(sender: &Sender, request: Request<Payload>) -> hyper::Result<Response<Incoming>> {
    let mut sender = sender.clone();
    guard(sender.ready()).await.expect("an open connection");
    guard(sender.send_request(request)).await
}

pub async fn fetch(sender: &Sender, request: Request<Payload>) -> Answer {
    let (head, body) = open(sender, request).await.into_parts();
    let body = guard(body.collect()).await.expect("a whole body");
    let trailers = body.trailers().cloned();
    Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers }
}
