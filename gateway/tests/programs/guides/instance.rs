//! An instance of an application that keeps sessions in memory, and identifies a user by a cookie of its own.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::guest::cookies;
use crate::support::upstream::{Exchange, Next, Upstream};
use crate::support::websocket;

/// The condition that an instance reports to probes.
#[derive(Clone, Default)]
pub struct Condition(Arc<AtomicBool>);

impl Condition {
    pub fn set_full(&self, is_full: bool) {
        self.0.store(is_full, Ordering::SeqCst);
    }
}

/// Responds with its name and `kept` for a known session, `new` for a new one. `/socket` is a WebSocket for
/// known sessions only. `/healthz` and Wisej's `/healthcheck.wx` report its condition.
pub fn start(name: &str, condition: &Condition) -> Upstream {
    let (owner, condition) = (name.to_owned(), condition.clone());
    let sessions: Mutex<HashSet<String>> = Mutex::default();
    let count = AtomicUsize::new(0);
    Upstream::start(name, move |exchange| {
        let target = exchange.head.target();
        if target == "/healthz" {
            return exchange.ok("well");
        }
        if target == "/healthcheck.wx" {
            return health(exchange, &condition);
        }
        let session = cookies(&exchange.head.all("cookie")).remove("sid").unwrap_or_default();
        let is_known = sessions.lock().expect("lock").contains(&session);
        match (is_known, target == "/socket") {
            (true, true) => websocket::echo(exchange),
            (true, false) => exchange.ok(&format!("{owner} kept")),
            (false, true) => exchange.answer("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"),
            (false, false) => {
                let session = format!("{owner}-{}", count.fetch_add(1, Ordering::Relaxed));
                sessions.lock().expect("lock").insert(session.clone());
                let body = format!("{owner} new");
                exchange.answer(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nSet-Cookie: sid={session}; Path=/\r\n\r\n{body}",
                    body.len()
                ))
            }
        }
    })
}

/// As Wisej responds: 503 with Retry-After means that it takes no more sessions.
fn health(exchange: &mut Exchange, condition: &Condition) -> io::Result<Next> {
    match condition.0.load(Ordering::SeqCst) {
        false => exchange.ok("well"),
        true => exchange.answer("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"),
    }
}
