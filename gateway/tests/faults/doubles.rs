//! Relays that are wrong on purpose: the judge must notice what they do, and nothing in a correct one.

use crate::support::test;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::Fleet;
use crate::judge::Report;
use crate::load::{Load, OFTEN, Pace};
use crate::mode::Mode;
use crate::scenario;
use crate::session::Session;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Sends each POST twice.
    Repeats,
    /// Ends a truncated body as if it were complete.
    Completes,
    /// Moves sessions whose instance is alive.
    Wanders,
}

struct Relay {
    fault: Fault,
    instances: Vec<SocketAddr>,
    turn: AtomicUsize,
}

impl Relay {
    /// Listens in front of the fleet for as long as the runtime runs.
    async fn start(fault: Fault, fleet: &Fleet) -> SocketAddr {
        let instances = fleet.instances.iter().map(|instance| instance.address).collect();
        let relay = Arc::new(Self { fault, instances, turn: AtomicUsize::new(0) });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let relay = Arc::clone(&relay);
                let service = service_fn(move |request| {
                    let relay = Arc::clone(&relay);
                    async move { Ok::<_, Infallible>(relay.forward(request).await) }
                });
                tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        address
    }

    async fn forward(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a request's body").to_bytes();
        let index = match self.fault {
            Fault::Wanders => self.turn.fetch_add(1, Ordering::Relaxed) % self.instances.len(),
            _ => 0,
        };
        if self.fault == Fault::Repeats && parts.method == Method::POST {
            self.exchange(index, Request::from_parts(parts.clone(), Full::new(body.clone()))).await;
        }
        self.exchange(index, Request::from_parts(parts, Full::new(body))).await
    }

    async fn exchange(&self, index: usize, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        let stream = TcpStream::connect(self.instances[index]).await.expect("connect to an instance");
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("a client");
        tokio::spawn(connection);
        let (mut head, mut body) = sender.send_request(request).await.expect("a response").into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => whole.extend_from_slice(frame.data_ref().expect("data")),
                Err(_) if self.fault == Fault::Completes => break,
                Err(error) => {
                    let refusal = Response::builder().status(502).body(Full::from(error.to_string()));
                    return refusal.expect("a response");
                }
            }
        }
        head.headers.remove("content-length");
        head.headers.remove("transfer-encoding");
        Response::from_parts(head, Full::new(whole.freeze()))
    }
}

/// The judgement of a relay in front of one instance of that mode, or of two.
fn judge(fault: Fault, instances: usize, mode: Mode) -> Report {
    let mut report = Report::default();
    scenario(async {
        let fleet = Fleet::start(instances, mode);
        let front = Relay::start(fault, &fleet).await;
        let load = Load::start(front, Session::several(0..20), Pace { connections: 4, rate: 400 });
        load.visits(OFTEN).await;
        let (_, visits) = load.stop().await;
        report = Report::of(&visits, &fleet.journals(), &[]);
    });
    report
}

#[test]
fn an_honest_relay_is_cleared() {
    judge(Fault::None, 1, Mode::Serve).assert_spared();
}

#[test]
fn a_relay_that_repeats_posts_is_caught() {
    assert!(judge(Fault::Repeats, 1, Mode::Serve).repeated_posts > 0);
}

#[test]
fn a_relay_that_ends_cut_bodies_is_caught() {
    for mode in [Mode::CutBody, Mode::CutChunks] {
        let honest = judge(Fault::None, 1, mode);
        assert_eq!(honest.wrong, 0, "{honest:#?}");
        assert!(honest.failed_gets > 0, "nothing was cut: {honest:#?}");
        assert!(judge(Fault::Completes, 1, mode).wrong > 0);
    }
}

#[test]
fn a_relay_that_moves_sessions_is_caught() {
    assert!(judge(Fault::Wanders, 2, Mode::Serve).strayed > 0);
}
