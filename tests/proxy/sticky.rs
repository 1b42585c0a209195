//! Affinity around hyper-util's client, over real sockets.

use crate::support::client::connect;
use crate::support::h2::{self, fetch};
use crate::support::upstream::Upstream;
use crate::support::{until, websocket};
use homing::hyper::{LeaseBody, Sticky, UpgradeLease};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::upgrade::{self, OnUpgrade};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;

type HyperClient = Client<HttpConnector, Incoming>;

fn balancer(upstreams: &[&Upstream]) -> Arc<Balancer> {
    let configs = upstreams.iter().map(|upstream| UpstreamConfig::new(&*upstream.name, upstream.address.to_string()));
    let affinity = Affinity::builder(KeyRing::generate("app").unwrap()).build().unwrap();
    Arc::new(Balancer::builder().upstreams(configs).affinity(affinity).build().unwrap())
}

/// Serves connections of HTTP/1.1 or HTTP/2 on a thread of its own, for as long as the process lives.
fn serve(balancer: &Arc<Balancer>, is_http2: bool) -> SocketAddr {
    let (send, address) = mpsc::channel();
    let balancer = Arc::clone(balancer);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client: HyperClient = Client::builder(TokioExecutor::new()).build_http();
            let sticky = Sticky::new(balancer, client);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (stream, sticky) = (TokioIo::new(stream), sticky.clone());
                let service = service_fn(move |request| forward(sticky.clone(), request));
                match is_http2 {
                    true => {
                        drop(tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service)))
                    }
                    false => {
                        drop(tokio::spawn(http1::Builder::new().serve_connection(stream, service).with_upgrades()));
                    }
                }
            }
        });
    });
    address.recv().unwrap()
}

async fn forward(
    sticky: Sticky<HyperClient>,
    mut request: Request<Incoming>,
) -> Result<Response<LeaseBody<Incoming>>, homing::hyper::StickyError> {
    let client = upgrade::on(&mut request);
    let mut response = sticky.call(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        tunnel(client, &mut response);
    }
    Ok(response)
}

/// As the documentation of [`UpgradeLease`] has it.
fn tunnel(client: OnUpgrade, response: &mut Response<LeaseBody<Incoming>>) {
    let lease = response.extensions_mut().remove::<UpgradeLease>();
    let upstream = upgrade::on(response);
    tokio::spawn(async move {
        if let (Ok(client), Ok(upstream)) = (client.await, upstream.await) {
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(upstream)).await;
        }
        drop(lease);
    });
}

/// axum-reverse-proxy issue 100, hyper-reverse-proxy pull request 35: upgrades have to be carried over by hand.
#[test]
fn a_websocket_is_in_flight_until_it_is_closed() {
    let upstream = Upstream::start("app-1", websocket::echo);
    let balancer = balancer(&[&upstream]);
    let in_flight = || balancer.cluster().members()[0].upstream().in_flight();
    let (mut tunnel, head) = websocket::open(serve(&balancer, false), "");
    assert!(head.one("set-cookie").is_some());
    tunnel.send(tokio_tungstenite::tungstenite::Message::text("over the tunnel")).unwrap();
    assert_eq!(tunnel.read().unwrap().to_text().unwrap(), "over the tunnel");
    assert_eq!(in_flight(), 1);
    drop(tunnel);
    until("the tunnel has ended", || in_flight() == 0);
}

/// axum-proxy issue 363, pingora issue 892, mod_h2 issue 124: what HTTP/2 has in another way than HTTP/1.1.
#[tokio::test]
async fn a_client_of_http2_has_a_session_on_upstreams_of_http1() {
    let upstreams = [Upstream::named("app-1"), Upstream::named("app-2")];
    let sender = h2::prior_knowledge(serve(&balancer(&[&upstreams[0], &upstreams[1]]), true)).await;
    let first = fetch(&sender, h2::get("/")).await;
    let cookie = first.all("set-cookie")[0].split(';').next().unwrap().to_owned();
    for _ in 0..3 {
        let mut request = h2::get("/again");
        for line in ["a=1", &*cookie, "b=2"] {
            request.headers_mut().append("cookie", line.parse().unwrap());
        }
        assert_eq!(fetch(&sender, request).await.text(), first.text());
    }
    let seen = upstreams[usize::from(first.text() == "app-2")].last();
    assert_eq!(seen.head.one("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(seen.head.one("host").as_deref(), Some(crate::support::certificate::NAME));
}

/// A client that goes away in the middle of a download frees its place.
#[test]
fn a_download_is_in_flight_until_its_client_has_gone() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            exchange.send("4\r\ndata\r\n")?;
            thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let balancer = balancer(&[&upstream]);
    let in_flight = || balancer.cluster().members()[0].upstream().in_flight();
    let mut wire = connect(serve(&balancer, false));
    wire.send(crate::support::client::request("GET", "/", "")).unwrap();
    assert_eq!(wire.response_head().1.status(), 200);
    assert_eq!(in_flight(), 1);
    drop(wire);
    until("the download has ended", || in_flight() == 0);
}
