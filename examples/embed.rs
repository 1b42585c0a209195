//! A complete sticky proxy: `cargo run --features hyper --example embed` in front of two servers on 9001 and 9002.

use homing::hyper::{Protocol, Proxy};
use homing::{Affinity, Balancer, KeyRing, UpstreamConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let balancer = Balancer::builder()
        .upstream(UpstreamConfig::new("app-1", "127.0.0.1:9001"))
        .upstream(UpstreamConfig::new("app-2", "127.0.0.1:9002"))
        .affinity(Affinity::builder(KeyRing::generate("app")?).build()?)
        .build()?;
    let proxy = Proxy::new(balancer)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let proxy = proxy.clone();
        tokio::spawn(async move { proxy.serve(stream, peer, Protocol::Clear, std::future::pending()).await });
    }
}
