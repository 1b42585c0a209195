//! A complete sticky proxy: `cargo run --features proxy --example embed 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002`

use homing::proxy::{ProbeSettings, Protocol, Proxy};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut addresses = std::env::args().skip(1);
    let listen = addresses.next().ok_or("name the address to listen on, then the upstreams")?;
    let balancer = Balancer::builder()
        .upstreams(addresses.map(|address| UpstreamConfig::new(&address, &address)))
        .affinity(Affinity::builder(KeyRing::generate("embed")?).build()?)
        .build()?;
    let proxy = Proxy::new(balancer);
    let probes = ProbeSettings::default().path("/");
    tokio::spawn(proxy.run_health_checks(Some(probes), std::future::pending()));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let proxy = proxy.clone();
        tokio::spawn(async move { proxy.serve(stream, peer, Protocol::Clear, std::future::pending()).await });
    }
}
