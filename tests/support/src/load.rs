//! A steady load of clients, which record every failure that a browser's user would see.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::{guarded, request};
use super::visitor::{COOKIE, token};
use super::wire::Wire;

/// The pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(2);

/// The kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A session, on one connection for as long as the gateway keeps it.
    Kept,
    /// A session, on a new connection each time.
    Fresh,
    /// A new session each time, on a new connection.
    Stranger,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    visitors: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts clients of every kind, and returns when each was served once.
    pub fn start(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let kinds = [Kind::Kept, Kind::Kept, Kind::Kept, Kind::Fresh, Kind::Fresh, Kind::Stranger];
        let visit = |kind| {
            let mut visitor = Visitor { address, kind, wire: None, token: None, pinned: None };
            visitor.visit().expect("a first answer");
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || visitor.keep_on(&stop, &served))
        };
        let visitors = kinds.into_iter().map(visit).collect();
        Self { stop, served, visitors }
    }

    /// The number of requests served.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until this many more requests are served.
    pub fn go_on(&self, requests: usize) {
        let end = self.served() + requests;
        super::until("the load goes on", || self.served() >= end || self.visitors.iter().all(JoinHandle::is_finished));
    }

    /// Stops the load and returns all failures.
    pub fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.visitors.into_iter().flat_map(|visitor| visitor.join().expect("a visitor")).collect()
    }
}

struct Visitor {
    address: SocketAddr,
    kind: Kind,
    wire: Option<Wire<TcpStream>>,
    token: Option<String>,
    /// The instance to which its session is pinned.
    pinned: Option<String>,
}

impl Visitor {
    fn keep_on(mut self, stop: &AtomicBool, served: &AtomicUsize) -> Vec<String> {
        let mut faults = Vec::new();
        while !stop.load(Ordering::Relaxed) && faults.len() < 5 {
            match self.visit() {
                Ok(()) => drop(served.fetch_add(1, Ordering::Relaxed)),
                Err(fault) => {
                    faults.push(format!("{:?}: {fault}", self.kind));
                    self.wire = None;
                }
            }
            thread::sleep(PAUSE);
        }
        faults
    }

    /// Makes one request, which must reach the instance of its session. It is not retried.
    fn visit(&mut self) -> io::Result<()> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::new(guarded(TcpStream::connect(self.address)?)),
        };
        let cookie = self.token.as_ref().map(|token| format!("Cookie: {COOKIE}={token}\r\n")).unwrap_or_default();
        wire.send(request("GET", "/", &cookie))?;
        let head = wire.head()?.ok_or(ErrorKind::UnexpectedEof)?;
        let body = wire.body(head.of_response("GET").map_err(io::Error::other)?)?;
        if head.status() != 200 || !body.whole {
            return Err(io::Error::other(format!("{head:?}, of which {} bytes came", body.length)));
        }
        let is_last = head.list("connection").iter().any(|option| option == "close");
        if self.kind == Kind::Stranger {
            return Ok(());
        }
        self.token = token(&head).or(self.token.take());
        let instance = body.text();
        let pinned = self.pinned.get_or_insert_with(|| instance.clone());
        if *pinned != instance {
            return Err(io::Error::other(format!("pinned to {pinned}, and served by {instance}")));
        }
        if self.kind == Kind::Kept && !is_last {
            self.wire = Some(wire);
        }
        Ok(())
    }
}
