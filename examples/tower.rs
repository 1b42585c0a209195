//! Sticky sessions in a tower stack: a limit, load shedding and a timeout around the balancer, a timeout within.
//!
//! `cargo run --features hyper --example tower 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002`

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleError;
use axum::response::{IntoResponse, Response};
use homing::health::Outcome;
use homing::hyper::{BoxError, Sticky, StickyError, outcome_of};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
use http::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tower::ServiceBuilder;
use tower::timeout::error::Elapsed;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().ok_or("name the address to listen on, then the upstreams")?;
    let balancer = Balancer::builder()
        .upstreams(addresses.map(|address| UpstreamConfig::new(&address, &address)))
        .affinity(Affinity::builder(KeyRing::generate("tower")?).build()?)
        .build()?;

    // Within: an upstream that does not respond in time is to blame, and is ejected if it does so again.
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new().timeout(Duration::from_secs(2)).service(client);
    let sticky = Sticky::builder(balancer, client)
        .outcome(|error, waited| match error.is::<Elapsed>() {
            true => Some(Outcome::TimedOut { after: waited }),
            false => outcome_of(error, waited),
        })
        .build();
    // Around: at most 64 responses are awaited at once, further requests are rejected, and no client waits longer.
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(64).timeout(Duration::from_secs(5)).service(sticky);

    let router = Router::new().fallback_service(HandleError::new(stack, rejected));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

/// Layers of tower box their errors, and those of the service within.
async fn rejected(error: BoxError) -> Response {
    match error.downcast_ref::<StickyError>() {
        Some(error) => error.response::<Body>(),
        None if error.is::<Elapsed>() => StatusCode::GATEWAY_TIMEOUT.into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
