//! Sticky sessions around a client of your own: hyper-util's, with bodies that stream both ways.
//!
//! `cargo run --features hyper --example own_client 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002`

use homing::hyper::{Peer, Sticky};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};
use http::header::{CONNECTION, HeaderName, TE, UPGRADE};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().ok_or("name the address to listen on, then the upstreams")?;
    let balancer = Balancer::builder()
        .upstreams(addresses.map(|address| UpstreamConfig::new(&address, &address)))
        .affinity(Affinity::builder(KeyRing::generate("own_client")?).build()?)
        .build()?;
    let client: Client<HttpConnector, Incoming> = Client::builder(TokioExecutor::new()).build_http();
    let sticky = Sticky::new(balancer, client);

    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let sticky = sticky.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            remove_hop_by_hop(request.headers_mut());
            request.extensions_mut().insert(Peer::new(peer.ip()));
            let response = sticky.call(request);
            async {
                Ok::<_, Infallible>(match response.await {
                    Ok(mut response) => {
                        remove_hop_by_hop(response.headers_mut());
                        response.map(|body| body.boxed())
                    }
                    Err(error) => {
                        eprintln!("{error}: {:?}", std::error::Error::source(&error));
                        let response: Response<Full<Bytes>> = error.response();
                        response.map(|body| body.map_err(|never| match never {}).boxed())
                    }
                })
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// What is for one connection only is not forwarded (RFC 9110, section 7.6.1). hyper frames the bodies anew.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = (headers.get_all(CONNECTION).iter())
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain([CONNECTION, TE, UPGRADE, HeaderName::from_static("keep-alive")]) {
        headers.remove(name);
    }
}
