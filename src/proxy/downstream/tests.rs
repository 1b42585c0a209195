//! The server of HTTP/1.1, in memory.

/// What an idle client costs is measured by `benches/gateway`; this is the part that is decided here.
#[test]
fn an_idle_connection_is_small() {
    let balancer = crate::Balancer::builder().upstream(crate::UpstreamConfig::new("a", "a:1")).build().unwrap();
    let proxy = crate::proxy::Proxy::new(balancer);
    let (stream, _client) = tokio::io::duplex(1);
    let serving =
        proxy.serve(stream, ([127, 0, 0, 1], 1).into(), crate::proxy::Protocol::Clear, std::future::pending());
    assert!(size_of_val(&serving) <= 2440, "{}", size_of_val(&serving));
}
