//! Sticky sessions in an axum application: some routes are its own, all others are an upstream's.
//!
//! `cargo run --features proxy --example axum 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002`

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::get;
use homing::proxy::{ProbeSettings, Proxy};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
use std::net::SocketAddr;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().ok_or("name the address to listen on, then the upstreams")?;
    let balancer = Balancer::builder()
        .upstreams(addresses.map(|address| UpstreamConfig::new(&address, &address)))
        .affinity(Affinity::builder(KeyRing::generate("axum")?).build()?)
        .build()?;
    let proxy = Proxy::new(balancer);
    tokio::spawn(proxy.run_health_checks(Some(ProbeSettings::default()), std::future::pending()));

    let router = Router::new().route("/own", get(async || "the application's own")).fallback(forward).with_state(proxy);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Forwards a request in the name of its client.
async fn forward(State(proxy): State<Proxy>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    match proxy.service(peer, false).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}
