//! One instance: its state, its connections and its HTTP routes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::actions::Action;
use super::sessions::Sessions;
use super::usage::Usage;
use super::{Demo, Figures, Process, chat};

pub(super) type Request = hyper::Request<Incoming>;
pub(super) type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The application's own cookie: it names a session in the memory of one instance.
const SESSION: &str = "demo_session";

const PAGE: &str = include_str!("page.html");
/// Where the page wants the facts about the visit.
const FACTS: &str = "\"FACTS\"";
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What tells one process of an instance from the next, in the answers to probes.
const INCARNATION: HeaderName = HeaderName::from_static("homing-incarnation");

/// The memory of one incarnation.
pub(super) struct Instance {
    name: String,
    address: SocketAddr,
    incarnation: u16,
    started: Instant,
    sessions: Mutex<Sessions>,
    /// Takes connections and does nothing else.
    hangs: watch::Sender<bool>,
    /// Says to probes that it wants no new sessions.
    pub(super) full: AtomicBool,
}

impl Instance {
    pub(super) fn new(name: &str, address: SocketAddr, incarnation: u16) -> Instance {
        Instance {
            name: name.to_owned(),
            address,
            incarnation,
            started: Instant::now(),
            sessions: Mutex::default(),
            hangs: watch::Sender::new(false),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    pub(super) fn hangs(&self) -> bool {
        *self.hangs.borrow()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn incarnation(&self) -> u16 {
        self.incarnation
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock()
    }

    fn facts(&self, visits: u64) -> Value {
        json!({
            "instance": self.name,
            "incarnation": self.incarnation,
            "visits": visits,
            "address": self.address,
            "pid": std::process::id(),
            "uptime_seconds": self.started.elapsed().as_secs(),
        })
    }
}

/// Serves until it is dropped, and every connection with it.
pub(super) async fn serve(listener: TcpListener, instance: Arc<Instance>, demo: Demo) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, instance.clone(), demo.clone());
                    connections.spawn(unless_hanging(instance.hangs.subscribe(), connection));
                }
                // Out of file descriptors, most likely: others must close first.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Tells the operator how it is, as long as it lives and does not hang.
pub(super) async fn report(instance: Arc<Instance>, demo: Demo) {
    let heartbeats = async {
        let (mut seconds, mut usage) = (interval(Duration::from_secs(1)), Usage::new());
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            let (sessions, memory) = {
                let sessions = instance.sessions();
                (sessions.len(), sessions.bytes())
            };
            // The thread that this runs on, and no other.
            let figures = Figures { sessions, memory, threads: 1, cpu: usage.cores() };
            demo.heartbeat(&instance.name, figures);
        }
    };
    unless_hanging(instance.hangs.subscribe(), heartbeats).await;
}

/// Does `work`, and nothing while the instance hangs.
async fn unless_hanging(mut hangs: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    // The sender lives as long as the instance, which `work` has too.
    while hangs.wait_for(|hangs| !hangs).await.is_ok() {
        tokio::select! {
            biased;
            _ = hangs.wait_for(|hangs| *hangs) => {}
            () = &mut work => return,
        }
    }
}

/// What a connection does once its last response is written.
pub(super) enum Then {
    Chat(OnUpgrade, Option<String>),
    Hang(Arc<Instance>),
    Kill(Process),
}

async fn connection(stream: TcpStream, instance: Arc<Instance>, demo: Demo) {
    // Small writes follow one another on a live socket; a failure costs latency only.
    let _ = stream.set_nodelay(true);
    let then = Mutex::new(None);
    let routes = Routes { instance: &instance, demo: &demo, then: &then };
    let service = service_fn(async |request| Ok::<_, Infallible>(routes.answer(request).await));
    // An error here is a client that went away.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    match then.into_inner() {
        Some(Then::Chat(upgrade, session)) => {
            if let Ok(upgraded) = upgrade.await {
                let _ = chat::serve(upgraded, &instance, session.as_deref()).await;
            }
        }
        Some(Then::Hang(instance)) => instance.hang(true),
        Some(Then::Kill(process)) => drop(process),
        None => {}
    }
}

pub(super) struct Routes<'a> {
    pub(super) instance: &'a Instance,
    pub(super) demo: &'a Demo,
    pub(super) then: &'a Mutex<Option<Then>>,
}

impl Routes<'_> {
    async fn answer(&self, request: Request) -> Response {
        match (request.uri().path(), request.method()) {
            ("/", &Method::GET | &Method::HEAD) => self.visit(&request, |facts| {
                let mut page = response(StatusCode::OK, "text/html; charset=utf-8", PAGE.replace(FACTS, &facts));
                page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
                page
            }),
            ("/api/whoami", &Method::GET) if parameter(&request, "visit") == Some("1") => {
                self.visit(&request, json_text)
            }
            ("/api/whoami", &Method::GET) => {
                let visits = self.instance.sessions().visits(session(&request));
                json_text(self.instance.facts(visits).to_string())
            }
            ("/api/instances", &Method::GET) => self.instances(),
            ("/events", &Method::GET) => self.events(),
            ("/ws", &Method::GET) => self.chat(request),
            ("/healthz", &Method::GET | &Method::HEAD) => self.health(),
            ("/" | "/healthz", _) => not_allowed("GET, HEAD"),
            ("/api/whoami" | "/api/instances" | "/events" | "/ws", _) => not_allowed("GET"),
            (path, method) => match Action::of(path) {
                Some(_) if method != Method::POST => not_allowed("POST"),
                Some(_) if cross_site(&request) => text(StatusCode::FORBIDDEN, "another site may not ask for this\n"),
                Some(action) => self.act(action, &request).await,
                None => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
            },
        }
    }

    /// Counts a visit, and hands the client its session where that is new.
    fn visit(&self, request: &Request, render: impl FnOnce(String) -> Response) -> Response {
        let presented = session(request);
        let visited = self.instance.sessions().visit(presented);
        let (id, visits) = match visited {
            Ok(visited) => visited,
            Err(error) => {
                return text(StatusCode::INTERNAL_SERVER_ERROR, format!("no session id: {error}\n"));
            }
        };
        let mut response = render(self.instance.facts(visits).to_string());
        if presented != Some(&id) {
            let cookie = format!("{SESSION}={id}; Path=/; HttpOnly; SameSite=Lax");
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
        response
    }

    /// What probes are told. One that is full says so as Wisej does.
    fn health(&self) -> Response {
        let mut answer = if self.instance.full.load(Ordering::Relaxed) {
            let mut full = text(StatusCode::SERVICE_UNAVAILABLE, "full\n");
            full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            full
        } else {
            text(StatusCode::OK, "ok\n")
        };
        answer.headers_mut().insert(INCARNATION, self.instance.incarnation.into());
        answer
    }

    fn instances(&self) -> Response {
        let statuses = self.demo.statuses();
        let of = statuses.len();
        let instances = statuses.into_iter().map(|status| {
            json!({
                "name": status.name,
                "address": status.address,
                "alive": status.alive,
                "incarnation": status.incarnation,
                "sessions": status.sessions,
                "hangs": status.hangs,
                "full": status.full,
                "state": status.standing.state,
                "cause": status.standing.cause,
            })
        });
        let roll = self.demo.progress().map(
            |progress| json!({ "instance": progress.instance, "step": progress.step, "done": progress.done, "of": of }),
        );
        let you = json!({ "instance": self.instance.name, "incarnation": self.instance.incarnation });
        json_text(json!({ "you": you, "instances": Value::from_iter(instances), "roll": roll }).to_string())
    }

    fn events(&self) -> Response {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let name = self.instance.name.clone();
        let ticks = stream::unfold((seconds, name, 1_u64), async |(mut seconds, name, number)| {
            seconds.tick().await;
            let facts = json!({ "instance": name, "number": number });
            let frame = Frame::data(Bytes::from(format!("data: {facts}\n\n")));
            Some((Ok(frame), (seconds, name, number + 1)))
        });
        respond(StatusCode::OK, "text/event-stream", StreamBody::new(ticks).boxed_unsync())
    }

    fn chat(&self, mut request: Request) -> Response {
        match create_response_with_body(&request, Default::default) {
            Ok(switching) => {
                let session = session(&request).map(str::to_owned);
                *self.then.lock() = Some(Then::Chat(hyper::upgrade::on(&mut request), session));
                switching
            }
            Err(error) => text(StatusCode::BAD_REQUEST, format!("a WebSocket is spoken here: {error}\n")),
        }
    }
}

/// The value of the client's session cookie.
fn session(request: &Request) -> Option<&str> {
    let cookies = request.headers().get_all(header::COOKIE).into_iter();
    let mut pairs = cookies.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(SESSION)?.strip_prefix('='))
}

/// A parameter of the query. No name or value of this application needs percent-encoding.
pub(super) fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut pairs = request.uri().query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Whether a browser says that another site's page sent this. Clients that are no browsers don't say.
fn cross_site(request: &Request) -> bool {
    let site = request.headers().get(HeaderName::from_static("sec-fetch-site"));
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

fn not_allowed(methods: &'static str) -> Response {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, format!("this takes {methods}\n"));
    refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    refusal
}

pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    response(status, "text/plain; charset=utf-8", text)
}

pub(super) fn json_text(json: String) -> Response {
    response(StatusCode::OK, "application/json", json)
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    respond(status, kind, Full::new(body.into()).boxed_unsync())
}

fn respond(status: StatusCode, kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Every answer is about one visit at one moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
