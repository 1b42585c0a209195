//! The proxy as a service within another server.

use crate::host::proxy;
use crate::support::client::{self, connect_from, get, post, request};
use crate::support::upstream::Upstream;
use crate::support::websocket;
use axum::Router;
use axum::body::Body;
use axum::serve::IncomingStream;
use homing::proxy::Proxy;
use http::Request;
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use tokio::net::TcpListener;
use tower::ServiceExt;

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 4711);

/// Runs `server` with a listener on a thread of its own, for as long as the process lives.
fn serve<F: Future<Output = std::io::Result<()>>>(
    server: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let (send, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            server(listener).await.unwrap();
        });
    });
    address.recv().unwrap()
}

/// An axum server in which the proxy is under `/app`, and takes what has no route.
fn router(proxy: &Proxy) -> Router {
    Router::new().nest_service("/app", proxy.service(PEER, false)).fallback_service(proxy.service(PEER, true))
}

#[tokio::test]
async fn it_takes_a_body_of_any_type_and_its_failures_are_responses() {
    let mut upstream = Upstream::start("app-1", |exchange| {
        let body = exchange.body()?.text();
        exchange.ok(&body)
    });
    let proxy = proxy(&[&upstream]).build();
    let ask = || Request::post("/").header("host", "app.example").body("a body of text".to_owned()).unwrap();
    let response = proxy.service(PEER, false).oneshot(ask()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "a body of text");
    assert_eq!(upstream.only().head.one("x-forwarded-for"), Some(PEER.ip().to_string()));
    upstream.stop();
    assert_eq!(proxy.service(PEER, false).oneshot(ask()).await.unwrap().status(), 502);
}

#[test]
fn axum_nests_it() {
    let upstream = Upstream::start("app-1", |exchange| {
        let body = exchange.body()?.text();
        exchange.ok(&body)
    });
    let router = router(&proxy(&[&upstream]).build());
    let address = serve(async |listener| axum::serve(listener, router).await);
    assert_eq!(client::exchange(address, post("/app/form?x=1", "", "a form")).text(), "a form");
    let seen = upstream.last();
    assert_eq!((seen.head.target(), seen.head.one("x-forwarded-proto")), ("/form?x=1".into(), Some("http".into())));
    assert_eq!(get(address, "/elsewhere").status(), 200);
    let seen = upstream.last();
    assert_eq!((seen.head.target(), seen.head.one("x-forwarded-proto")), ("/elsewhere".into(), Some("https".into())));
}

#[test]
fn upgrades_pass_through_it() {
    let upstream = Upstream::start("app-1", |exchange| match exchange.head.one("upgrade") {
        Some(_) => websocket::echo(exchange),
        None => exchange.ok("a page"),
    });
    let proxy = proxy(&[&upstream]).build();
    let router = router(&proxy);
    let address = serve(async |listener| axum::serve(listener, router).await);
    let (mut tunnel, _) = websocket::open(address, "");
    tunnel.send(tokio_tungstenite::tungstenite::Message::text("over the tunnel")).unwrap();
    assert_eq!(tunnel.read().unwrap().to_text().unwrap(), "over the tunnel");
    assert_eq!(proxy.balancer().cluster().members()[0].upstream().in_flight(), 1);
}

#[test]
fn a_make_service_gives_each_connection_its_own() {
    let upstream = Upstream::named("app-1");
    let proxy = proxy(&[&upstream]).build();
    let make = tower::service_fn(move |stream: IncomingStream<'_, TcpListener>| {
        let service = proxy.service(*stream.remote_addr(), false);
        let service = ServiceExt::<axum::extract::Request>::map_response(service, |response| response.map(Body::new));
        std::future::ready(Ok::<_, Infallible>(service))
    });
    let address = serve(async |listener| axum::serve(listener, make).await);
    for client in ["127.0.0.2", "127.0.0.3"] {
        let response = connect_from(client.parse().unwrap(), address).exchange(request("GET", "/", ""));
        assert_eq!(response.text(), "app-1");
        assert_eq!(upstream.last().head.one("x-forwarded-for").as_deref(), Some(client));
    }
}
