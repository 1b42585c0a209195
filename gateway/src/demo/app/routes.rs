//! The HTTP routes of an instance.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::actions::{self, Action, AfterResponse};
use super::fleet::Fleet;
use super::instance::Instance;
use super::messages::{
    Request, Response, SESSION, is_cross_site, json_text, not_allowed, parameter, response, session, text, whole,
};

const PAGE: &str = include_str!("page.html");
/// The place in the page for the facts about the visit.
const FACTS: &str = "\"FACTS\"";
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Tells one process of an instance from the next, in responses to probes.
const INCARNATION: HeaderName = HeaderName::from_static("homing-incarnation");

pub(super) struct Routes<'a> {
    pub(super) instance: &'a Instance,
    pub(super) fleet: &'a Fleet,
    pub(super) after: &'a Mutex<Option<AfterResponse>>,
}

impl Routes<'_> {
    pub(super) async fn respond(&self, request: Request) -> Response {
        match (request.uri().path(), request.method()) {
            ("/", &Method::GET | &Method::HEAD) => self.visit(&request, |facts| {
                let mut page = whole(StatusCode::OK, "text/html; charset=utf-8", PAGE.replace(FACTS, &facts));
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
                Some(_) if is_cross_site(&request) => {
                    text(StatusCode::FORBIDDEN, "another site may not ask for this\n")
                }
                Some(action) => self.act(action, &request).await,
                None => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
            },
        }
    }

    /// Does it to the instance that the query names, or to this one.
    async fn act(&self, action: Action, request: &Request) -> Response {
        let name = parameter(request, "instance").unwrap_or(self.instance.name());
        match action.perform(self.fleet, name).await {
            Ok(after) => {
                let mut done = json_text(json!({ "instance": name }).to_string());
                if after.is_some() {
                    done.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    *self.after.lock() = after;
                }
                done
            }
            Err(refusal) => text(actions::status(&refusal), format!("{refusal}\n")),
        }
    }

    /// Counts a visit, and sets the session cookie where the session is new.
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

    /// The response to a probe. A full instance answers as Wisej does: 503 with `Retry-After`.
    fn health(&self) -> Response {
        let mut response = if self.instance.full.load(Ordering::Relaxed) {
            let mut full = text(StatusCode::SERVICE_UNAVAILABLE, "full\n");
            full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            full
        } else {
            text(StatusCode::OK, "ok\n")
        };
        response.headers_mut().insert(INCARNATION, self.instance.incarnation().into());
        response
    }

    fn instances(&self) -> Response {
        let views = self.fleet.views();
        let of = views.len();
        let instances = views.into_iter().map(|view| {
            json!({
                "name": view.name,
                "address": view.address,
                "alive": view.alive,
                "incarnation": view.incarnation,
                "sessions": view.sessions,
                "hangs": view.hangs,
                "full": view.full,
                "state": view.status.state,
                "cause": view.status.cause,
            })
        });
        let roll = self.fleet.progress().map(
            |progress| json!({ "instance": progress.instance, "step": progress.step, "done": progress.done, "of": of }),
        );
        let you = json!({ "instance": self.instance.name(), "incarnation": self.instance.incarnation() });
        json_text(json!({ "you": you, "instances": Value::from_iter(instances), "roll": roll }).to_string())
    }

    fn events(&self) -> Response {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let name = self.instance.name().to_owned();
        let ticks = stream::unfold((seconds, name, 1_u64), async |(mut seconds, name, number)| {
            seconds.tick().await;
            let facts = json!({ "instance": name, "number": number });
            let frame = Frame::data(Bytes::from(format!("data: {facts}\n\n")));
            Some((Ok(frame), (seconds, name, number + 1)))
        });
        response(StatusCode::OK, "text/event-stream", StreamBody::new(ticks).boxed_unsync())
    }

    fn chat(&self, mut request: Request) -> Response {
        match create_response_with_body(&request, Default::default) {
            Ok(switching) => {
                let session = session(&request).map(str::to_owned);
                *self.after.lock() = Some(AfterResponse::Chat(hyper::upgrade::on(&mut request), session));
                switching
            }
            Err(error) => text(StatusCode::BAD_REQUEST, format!("this path takes WebSocket handshakes: {error}\n")),
        }
    }
}
