//! A scripted HTTP/1.1 server that logs every byte it receives. Tests judge by this log.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use socket2::{Domain, Socket, Type};

use super::client::guarded;
use super::head::Head;
use super::wire::{Body, Wire};

/// The behaviour of an upstream for a request.
pub type Script = dyn Fn(&mut Exchange) -> io::Result<Next> + Send + Sync;

/// What happens to the connection after an exchange: it carries another request, or it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Request,
    Close,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The number of the upstream's connection, from 0.
    pub connection: usize,
    pub head: Head,
    /// The body once the script, or the end of the exchange, has read it.
    pub body: Option<Body>,
}

impl Seen {
    /// Whether its body was read completely.
    pub fn whole(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.whole)
    }
}

#[derive(Default)]
struct Log {
    requests: Vec<Seen>,
    /// The bytes that each connection received.
    raw: Vec<Vec<u8>>,
}

/// The most bytes of one connection that are kept; large bodies are checked as they arrive.
const RAW_KEPT: usize = 256 * 1024;

pub struct Upstream {
    pub name: String,
    pub address: SocketAddr,
    script: Arc<Script>,
    log: Arc<Mutex<Log>>,
    /// Bound and never listening: no other process gets the port while the upstream is dead.
    _port: Socket,
    running: Option<Running>,
}

struct Running {
    stopping: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: JoinHandle<()>,
}

impl Upstream {
    pub fn start(name: &str, script: impl Fn(&mut Exchange) -> io::Result<Next> + Send + Sync + 'static) -> Self {
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        port.set_reuse_address(true).expect("set SO_REUSEADDR");
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind an upstream");
        let address = port.local_addr().expect("a bound address").as_socket().expect("an address");
        let (script, log) = (Arc::new(script), Arc::default());
        let mut upstream = Self { name: name.to_owned(), address, script, log, _port: port, running: None };
        upstream.restart();
        upstream
    }

    /// An upstream that responds to every request with its name.
    pub fn named(name: &str) -> Self {
        let body = name.to_owned();
        Self::start(name, move |exchange| exchange.ok(&body))
    }

    /// Upstreams `app-1`, `app-2` and so on, each of which responds with its name.
    pub fn several(count: usize) -> Vec<Self> {
        (1..=count).map(|number| Self::named(&format!("app-{number}"))).collect()
    }

    /// Listens at its address again.
    pub fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).expect("listen at the upstream's port");
        let stopping = Arc::new(AtomicBool::new(false));
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let acceptor = thread::spawn({
            let (stopping, connections) = (stopping.clone(), connections.clone());
            let (script, log) = (self.script.clone(), self.log.clone());
            move || {
                for stream in listener.incoming() {
                    if stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    let stream = guarded(stream.expect("accept"));
                    connections.lock().expect("lock").push(stream.try_clone().expect("clone a socket"));
                    let (script, log) = (script.clone(), log.clone());
                    thread::spawn(move || serve(stream, &*script, &log));
                }
            }
        });
        self.running = Some(Running { stopping, connections, acceptor });
    }

    /// Stops: it accepts no connection from here on, and its existing connections end.
    pub fn stop(&mut self) {
        let running = self.running.take().expect("a running upstream");
        running.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        running.acceptor.join().expect("end the acceptor");
        for connection in running.connections.lock().expect("lock").drain(..) {
            // The peer may have ended it already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("lock")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log().requests.clone()
    }

    /// The only request that it has received; panics if there are more or none.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{} saw {seen:?}", self.name);
        seen.remove(0)
    }

    /// The last request that it has received.
    pub fn last(&self) -> Seen {
        self.seen().pop().unwrap_or_else(|| panic!("{} saw no request", self.name))
    }

    /// Every byte that it has received, connection after connection.
    pub fn raw(&self) -> Vec<u8> {
        self.log().raw.concat()
    }

    /// The number of its requests, complete or not, with this target.
    pub fn count(&self, target: &str) -> usize {
        self.log().requests.iter().filter(|seen| seen.head.target() == target).count()
    }

    /// Its entry in the gateway's configuration; `keys` are further lines.
    pub fn entry(&self, keys: &str) -> String {
        format!("[[upstream]]\nname = \"{}\"\naddress = \"{}\"\n{keys}\n", self.name, self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.stop();
        }
    }
}

/// A stream that copies what is read into the log.
pub struct Logged {
    stream: TcpStream,
    connection: usize,
    log: Arc<Mutex<Log>>,
}

impl Read for Logged {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        let raw = &mut self.log.lock().expect("lock").raw[self.connection];
        let kept = read.min(RAW_KEPT.saturating_sub(raw.len()));
        raw.extend_from_slice(&into[..kept]);
        Ok(read)
    }
}

impl Write for Logged {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn serve(stream: TcpStream, script: &Script, log: &Arc<Mutex<Log>>) {
    let connection = {
        let mut log = log.lock().expect("lock");
        log.raw.push(Vec::new());
        log.raw.len() - 1
    };
    let mut wire = Wire::new(Logged { stream, connection, log: log.clone() });
    let mut before = 0;
    // A connection error ends the loop: the bytes that arrived before are in the log.
    while let Ok(Some(head)) = wire.head() {
        let index = {
            let mut log = log.lock().expect("lock");
            log.requests.push(Seen { connection, head: head.clone(), body: None });
            log.requests.len() - 1
        };
        let mut exchange = Exchange { wire, head, before, index };
        let goes_on = script(&mut exchange).and_then(|next| match next {
            Next::Request => exchange.finish().map(|()| true),
            Next::Close => Ok(false),
        });
        wire = exchange.wire;
        before += 1;
        if !matches!(goes_on, Ok(true)) {
            break;
        }
    }
    // Shuts down explicitly, since a clone of the socket that `stop` uses keeps it open.
    let _ = wire.stream().stream.shutdown(Shutdown::Both);
}

/// One request, as a script handles it.
pub struct Exchange {
    pub wire: Wire<Logged>,
    pub head: Head,
    /// The number of earlier requests on this connection.
    pub before: usize,
    index: usize,
}

impl Exchange {
    /// Reads the body and logs it.
    pub fn body(&mut self) -> io::Result<Body> {
        let framing = self.head.of_request().map_err(|fault| io::Error::new(ErrorKind::InvalidData, fault))?;
        let body = self.wire.body(framing)?;
        self.record(body.clone());
        Ok(body)
    }

    /// Reads the body in pieces; its framing is logged and its data is not.
    pub fn body_into(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<Body> {
        let framing = self.head.of_request().map_err(|fault| io::Error::new(ErrorKind::InvalidData, fault))?;
        let body = self.wire.body_into(framing, sink)?;
        self.record(body.clone());
        Ok(body)
    }

    fn record(&self, body: Body) {
        self.log().requests[self.index].body = Some(body);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.wire.stream().log.lock().expect("lock")
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes)
    }

    /// Reads the request to its end and sends `response` unchanged.
    pub fn answer(&mut self, response: impl AsRef<[u8]>) -> io::Result<Next> {
        self.finish()?;
        self.send(response)?;
        Ok(Next::Request)
    }

    pub fn ok(&mut self, body: &str) -> io::Result<Next> {
        let length = body.len();
        self.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    /// The socket, for operations that this wrapper lacks.
    pub fn socket(&self) -> &TcpStream {
        &self.wire.stream().stream
    }

    /// Reads the body if the script has not, since the next request begins after it.
    fn finish(&mut self) -> io::Result<()> {
        if self.log().requests[self.index].body.is_none() {
            self.body()?;
        }
        Ok(())
    }
}
