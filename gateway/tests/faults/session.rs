//! A user: keeps every cookie, visits again and again, and judges each answer whole.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{COOKIE, HOST, SET_COOKIE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::body_of;
use crate::record;

/// Ends a visit without a response. No test measures time by it.
const GUARD: Duration = Duration::from_secs(90);

/// Of five visits one is a POST, never two in a row.
const POSTS: u32 = 5;

pub struct Session {
    pub number: u32,
    turn: u32,
    cookies: Vec<(String, String)>,
    /// The last that answered.
    pub home: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Wholly and rightly, by the instance of that name.
    Answered(String),
    /// By the proxy, in its own name.
    Refused(StatusCode),
    /// No answer came, or only a part of its head.
    Broken(String),
    /// The answer broke off behind its head, and showed it.
    Cut(String),
    /// An answer that looks whole, and is not what the instance sent.
    Wrong(String),
}

#[derive(Clone, Debug)]
pub struct Visit {
    pub session: u32,
    /// The path, unique to it.
    pub id: String,
    pub post: bool,
    /// Microseconds since the Unix epoch.
    pub began: u64,
    pub ended: u64,
    pub outcome: Outcome,
}

impl Visit {
    pub fn instance(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered(instance) => Some(instance),
            _ => None,
        }
    }
}

/// A connection to the proxy, opened when it is needed, that many sessions share one after the other.
pub struct Link {
    front: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Link {
    pub fn new(front: SocketAddr) -> Self {
        Self { front, sender: None }
    }

    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        let alive = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !alive {
            let stream = TcpStream::connect(self.front).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or_else(|| "no connection".into())
    }
}

impl Session {
    pub fn new(number: u32) -> Self {
        Self { number, turn: 0, cookies: Vec::new(), home: None }
    }

    /// Sessions of those numbers.
    pub fn several(numbers: std::ops::Range<u32>) -> Vec<Self> {
        numbers.map(Self::new).collect()
    }

    /// The header field that brings all its cookies.
    pub fn cookies(&self) -> String {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        cookies.collect::<Vec<_>>().join("; ")
    }

    pub async fn visit(&mut self, link: &mut Link) -> Visit {
        self.turn += 1;
        let post = (self.turn + self.number).is_multiple_of(POSTS);
        let id = format!("/visit/{}/{}", self.number, self.turn);
        let began = record::now();
        let outcome = match timeout(GUARD, self.exchange(link, &id, post)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failure)) => Outcome::Broken(failure.to_string()),
            Err(_) => Outcome::Broken("no answer".to_owned()),
        };
        match &outcome {
            Outcome::Answered(instance) => self.home = Some(instance.clone()),
            Outcome::Broken(_) | Outcome::Cut(_) => link.sender = None,
            Outcome::Refused(_) | Outcome::Wrong(_) => {}
        }
        Visit { session: self.number, id, post, began, ended: record::now(), outcome }
    }

    async fn exchange(&mut self, link: &mut Link, path: &str, post: bool) -> Result<Outcome, Failure> {
        let body = if post { Bytes::from_static(b"an order") } else { Bytes::new() };
        let method = if post { "POST" } else { "GET" };
        let request = Request::builder().method(method).uri(path).header(HOST, "app.example");
        let request = request.header(COOKIE, self.cookies()).body(Full::new(body))?;
        let response = link.ready().await?.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(failure) => return Ok(Outcome::Cut(failure.to_string())),
        };
        for field in head.headers.get_all(SET_COOKIE) {
            self.keep(field.to_str()?);
        }
        let instance = head.headers.get("x-instance").map(|name| name.to_str().map(str::to_owned)).transpose()?;
        Ok(match (head.status, instance) {
            (StatusCode::OK, Some(instance)) if body == body_of(path) => Outcome::Answered(instance),
            (StatusCode::OK, _) => Outcome::Wrong(format!("{} bytes, of {}", body.len(), body_of(path).len())),
            (status, _) => Outcome::Refused(status),
        })
    }

    /// Takes the cookie that a `Set-Cookie` brings.
    pub fn keep(&mut self, set_cookie: &str) {
        let pair = set_cookie.split(';').next().and_then(|pair| pair.split_once('='));
        let Some((name, value)) = pair else { return };
        self.cookies.retain(|(known, _)| known != name);
        self.cookies.push((name.to_owned(), value.to_owned()));
    }
}
