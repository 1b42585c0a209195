//! An instance of an application, as a process of its own: sessions in its memory, and a mode in which it fails.
//!
//! HTTP/1.1 by hand, as no library breaks off in the middle of a head.

mod wire;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use homing::UpstreamConfig;
use homing_gateway::discovery::etcd::{EtcdClient, EtcdRegistration, EtcdSettings, KeyPrefix};
use homing_gateway::roster::InstanceReport;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::answer::body_of;
use crate::mode::Mode;
use crate::record::{Journal, Kind};
use wire::{Request, Wire};

struct Instance {
    name: String,
    journal: Journal,
    mode: Mutex<Mode>,
    /// Visits by session. A restart forgets them.
    sessions: Mutex<HashMap<String, u32>>,
}

/// What becomes of a connection after a request.
enum Next {
    Request,
    /// It ends as if the process had been killed.
    Reset,
    Socket,
}

/// Serves until the process is killed, or until its parent ends: then its standard input ends.
pub fn run(name: &str, address: SocketAddr, journal: &Path, mode: Mode, register: Option<String>) -> io::Result<()> {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let journal = Journal::open(journal)?;
    let instance = Instance { name: name.to_owned(), journal, mode: Mutex::new(mode), sessions: Mutex::default() };
    let instance = Arc::new(instance);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(4096)?;
        instance.journal.note(Kind::Start, &std::process::id().to_string())?;
        if let Some(etcd) = register {
            let config = UpstreamConfig::new(name, address.to_string());
            tokio::spawn(stay_registered(config, etcd, Arc::clone(&instance)));
        }
        println!("ready");
        io::stdout().flush()?;
        accept(listener, instance).await
    })
}

/// Is there on a lease, and says how many sessions it has.
async fn stay_registered(config: UpstreamConfig, etcd: String, instance: Arc<Instance>) {
    let client =
        EtcdClient::new(&EtcdSettings { endpoints: vec![etcd], ..EtcdSettings::default() }).expect("a client of etcd");
    let mut registration = EtcdRegistration::new(client, &KeyPrefix::default(), &config, Duration::from_secs(10));
    loop {
        let sessions = instance.sessions.lock().expect("lock").len() as u64;
        // An etcd that is away is asked again.
        let _ =
            registration.refresh(Some(InstanceReport { sessions: Some(sessions), ..InstanceReport::default() })).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn accept(listener: TcpListener, instance: Arc<Instance>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        instance.journal.note(Kind::Accept, "-")?;
        stream.set_nodelay(true)?;
        // A connection that fails ends, and nothing else.
        tokio::spawn(Arc::clone(&instance).serve(Wire::new(stream)));
    }
}

impl Instance {
    async fn serve(self: Arc<Self>, mut wire: Wire) -> io::Result<()> {
        while let Some(request) = wire.request().await? {
            match self.answer(&mut wire, &request).await? {
                Next::Request => {}
                Next::Reset => return wire.reset(),
                Next::Socket => return echo(wire).await,
            }
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().expect("lock")
    }

    async fn answer(&self, wire: &mut Wire, request: &Request) -> io::Result<Next> {
        if let Some(mode) = request.path.strip_prefix("/mode/") {
            let mode = Mode::from_str(mode).map_err(|what| io::Error::new(ErrorKind::InvalidInput, what))?;
            *self.mode.lock().expect("lock") = mode;
            return respond(&mut wire.stream, "200 OK", "", b"").await;
        }
        let kind = match (&*request.method, &*request.path) {
            (_, "/healthz") => Kind::Probe,
            ("POST", _) => Kind::Post,
            _ if request.socket_key.is_some() => Kind::Socket,
            _ => Kind::Get,
        };
        self.journal.note(kind, &request.path)?;
        match (self.mode(), kind) {
            (Mode::Mute, _) => std::future::pending().await,
            (Mode::Reset, _) => Ok(Next::Reset),
            (Mode::Full, Kind::Probe) => {
                respond(&mut wire.stream, "503 Service Unavailable", "retry-after: 1\r\n", b"full").await
            }
            (_, Kind::Probe) => {
                let incarnation = format!("homing-incarnation: {}\r\n", std::process::id());
                respond(&mut wire.stream, "200 OK", &incarnation, b"well").await
            }
            (Mode::CutHead, _) => cut(wire, b"HTTP/1.1 200 OK\r\nContent-Le").await,
            (Mode::CutBody, _) => cut(wire, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this").await,
            (Mode::CutChunks, _) => {
                cut(wire, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nonly this\r\n").await
            }
            (mode, _) => {
                if let Mode::Slow(milliseconds) = mode {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                }
                self.welcome(wire, request).await
            }
        }
    }

    async fn welcome(&self, wire: &mut Wire, request: &Request) -> io::Result<Next> {
        let fields = self.visit(request);
        if let Some(key) = &request.socket_key {
            let key = derive_accept_key(key.as_bytes());
            let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept";
            let head = format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}: {key}\r\n{fields}\r\n");
            wire.stream.write_all(head.as_bytes()).await?;
            return Ok(Next::Socket);
        }
        respond(&mut wire.stream, "200 OK", &fields, &body_of(&request.path)).await
    }

    /// Counts the visit and tells its session; a session that is not known here begins anew.
    fn visit(&self, request: &Request) -> String {
        let mut sessions = self.sessions.lock().expect("lock");
        let known = request.session.as_ref().filter(|session| sessions.contains_key(*session));
        let (session, set_cookie) = match known {
            Some(session) => (session.clone(), String::new()),
            None => {
                let session = format!("{}-{}-{}", self.name, std::process::id(), sessions.len());
                (session.clone(), format!("set-cookie: app={session}; Path=/\r\n"))
            }
        };
        let visits = sessions.entry(session).or_default();
        *visits += 1;
        format!("x-instance: {}\r\nx-visits: {visits}\r\n{set_cookie}", self.name)
    }
}

async fn respond(stream: &mut TcpStream, status: &str, fields: &str, body: &[u8]) -> io::Result<Next> {
    let length = body.len();
    let mut response = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{fields}\r\n").into_bytes();
    response.extend_from_slice(body);
    stream.write_all(&response).await?;
    Ok(Next::Request)
}

/// Sends the beginning of a response, and no more.
async fn cut(wire: &mut Wire, beginning: &[u8]) -> io::Result<Next> {
    // On loopback it is in the other's queue at once, and a reset takes nothing from there.
    wire.stream.write_all(beginning).await?;
    Ok(Next::Reset)
}

async fn echo(wire: Wire) -> io::Result<()> {
    let (stream, early) = wire.into_parts();
    let mut socket = WebSocketStream::from_partially_read(stream, early, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}
