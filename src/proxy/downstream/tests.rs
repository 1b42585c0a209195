//! Whole exchanges in memory: a client of HTTP/1.1, the proxy, and upstreams, each cut, slowed and reset at every byte.

use crate::proxy::io::scripted::{Peer, scripted, settle};
use crate::proxy::upstream::scripted::ScriptedUpstream;
use crate::proxy::{Protocol, Proxy};
use crate::{Balancer, UpstreamConfig};
use tokio::task::JoinHandle;

/// A proxy and its upstreams, which are picked in turn.
struct World {
    proxy: Proxy,
    upstreams: Vec<ScriptedUpstream>,
}

struct Client {
    peer: Peer,
    serving: JoinHandle<()>,
}

impl World {
    fn new(upstreams: usize) -> Self {
        let address = |number: usize| format!("scripted-{number}:80");
        let configs = (0..upstreams).map(|number| UpstreamConfig::new(format!("app-{number}"), address(number)));
        let balancer = Balancer::builder().upstreams(configs).policy("round_robin").build().unwrap();
        let upstreams = (0..upstreams).map(|number| ScriptedUpstream::listen(&address(number))).collect();
        Self { proxy: Proxy::new(balancer), upstreams }
    }

    fn connect(&self) -> Client {
        let (stream, peer) = scripted();
        let proxy = self.proxy.clone();
        let serving = async move {
            proxy.serve(stream, ([192, 0, 2, 1], 1).into(), Protocol::Clear, std::future::pending()).await;
        };
        Client { peer, serving: tokio::spawn(serving) }
    }

    /// The latest connection to an upstream.
    fn upstream(&self, number: usize) -> Peer {
        self.upstreams[number].connections().pop().expect("a connection")
    }

    fn in_flight(&self) -> u32 {
        self.proxy.balancer().cluster().members().iter().map(|member| member.upstream().in_flight()).sum()
    }

    /// How often upstreams have seen the head of a request of this target since the last call.
    fn deliveries(&self, target: &str) -> usize {
        let peers = self.upstreams.iter().flat_map(ScriptedUpstream::connections);
        let seen: String = peers.map(|peer| peer.text()).collect();
        seen.matches(&format!(" {target} HTTP/1.1\r\n")).count()
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
}

/// What an upstream sends, and what its client gets.
const RESPONSES: [(&str, &str); 2] = [
    (
        "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 5\r\n\r\nworld",
        "HTTP/1.1 200 OK\r\nDate: d\r\nvia: 1.1 homing\r\ncontent-length: 5\r\n\r\nworld",
    ),
    (
        "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nDate: d\r\nvia: 1.1 homing\r\ntransfer-encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n",
    ),
];
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// What an idle client costs is measured by `benches/gateway`; this is the part that is decided here.
#[test]
fn an_idle_connection_is_small() {
    let world = World::new(1);
    let (stream, _peer) = tokio::io::duplex(1);
    let serving = world.proxy.serve(stream, ([127, 0, 0, 1], 1).into(), Protocol::Clear, std::future::pending());
    assert!(size_of_val(&serving) <= 2440, "{}", size_of_val(&serving));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_the_same_wherever_reads_cut_it() {
    for request in [get("/x"), post("/x")] {
        let world = World::new(1);
        let mut expected = None;
        for cut in 0..=request.len() {
            let client = world.connect();
            client.peer.send(&request[..cut]);
            settle().await;
            client.peer.send(&request[cut..]);
            settle().await;
            let upstream = world.upstream(0);
            let seen = upstream.text();
            assert_eq!(&seen, expected.get_or_insert_with(|| seen.clone()), "cut at {cut}");
            upstream.send(RESPONSES[0].0);
            settle().await;
            assert_eq!(client.peer.text(), RESPONSES[0].1, "cut at {cut}");
        }
        assert_eq!(world.upstreams[0].connections().len(), 1, "it is kept alive");
        assert!(expected.unwrap().starts_with(&request[..request.find("Host").unwrap()]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_the_same_wherever_the_client_pauses() {
    for (sent, expected) in RESPONSES {
        let world = World::new(1);
        for room in 0..expected.len() {
            for max_write in [1, 7, usize::MAX] {
                let client = world.connect();
                client.peer.set_max_write(max_write);
                client.peer.set_room(room);
                client.peer.send(get("/"));
                settle().await;
                world.upstream(0).send(sent);
                settle().await;
                let first = client.peer.text();
                client.peer.set_room(usize::MAX);
                settle().await;
                assert_eq!(first.len(), room);
                assert_eq!(first + &client.peer.text(), expected, "room for {room}, writes of {max_write}");
            }
        }
    }
}

/// Of a stream of events, what has come must not wait for what has not: neither in the proxy nor in a TLS record.
#[tokio::test(start_paused = true)]
async fn a_starved_response_is_flushed() {
    let world = World::new(1);
    let client = world.connect();
    client.peer.hold_back();
    client.peer.send(get("/events"));
    settle().await;
    let upstream = world.upstream(0);
    upstream.send("HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n");
    settle().await;
    assert!(client.peer.text().ends_with("\r\n\r\n"));
    for _ in 0..3 {
        upstream.send("3\r\nabc\r\n");
        settle().await;
        assert_eq!(client.peer.text(), "3\r\nabc\r\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_100_continue_that_is_owed_comes_between_the_responses_of_pipelined_requests() {
    let expecting = "POST /2 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let both = get("/1") + expecting;
    for (max_write, holds_back) in [(usize::MAX, false), (usize::MAX, true), (1, true)] {
        for cut in 0..=both.len() {
            let world = World::new(1);
            let client = world.connect();
            client.peer.set_max_write(max_write);
            if holds_back {
                client.peer.hold_back();
            }
            client.peer.send(&both[..cut]);
            settle().await;
            client.peer.send(&both[cut..]);
            settle().await;
            assert_eq!(client.peer.text(), "", "nothing is answered yet");
            world.upstream(0).send(RESPONSES[0].0);
            settle().await;
            assert_eq!(client.peer.text(), format!("{}{CONTINUE}", RESPONSES[0].1), "cut at {cut}");
            client.peer.send("hello");
            settle().await;
            let upstream = world.upstream(0);
            assert!(upstream.text().ends_with("\r\n\r\nhello"));
            upstream.send(RESPONSES[1].0);
            settle().await;
            assert_eq!(client.peer.text(), RESPONSES[1].1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_never_asked_for_ends_the_connection() {
    let world = World::new(1);
    let client = world.connect();
    let invalid = "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.peer.send(invalid.to_owned() + &get("/smuggled"));
    settle().await;
    let text = client.peer.text();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("connection: close") && !text.contains(CONTINUE));
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "what follows is no request");
    assert!(client.peer.is_ended() && world.upstreams[0].connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_between_any_two_bytes_leaves_nothing_behind() {
    for request in [get("/x"), post("/x")] {
        for cut in 0..=request.len() {
            for reset in [false, true] {
                let world = World::new(1);
                let client = world.connect();
                client.peer.send(&request[..cut]);
                settle().await;
                if reset {
                    client.peer.reset()
                } else {
                    client.peer.end()
                }
                settle().await;
                assert!(client.serving.is_finished() && world.in_flight() == 0, "at {cut}, reset: {reset}");
                let mut connections = world.upstreams[0].connections().into_iter();
                assert!(connections.all(|upstream| upstream.is_ended()), "a request in flight ends its connection");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_reset_amid_its_response_leaves_nothing_behind() {
    for (sent, expected) in RESPONSES {
        for room in 0..expected.len() {
            let world = World::new(1);
            let client = world.connect();
            client.peer.set_room(room);
            client.peer.send(get("/"));
            settle().await;
            world.upstream(0).send(sent);
            settle().await;
            client.peer.reset();
            settle().await;
            assert!(client.serving.is_finished() && world.in_flight() == 0, "at {room}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_breaks_between_any_two_bytes_is_told_and_not_asked_again_once_it_has_answered() {
    for (sent, expected) in RESPONSES {
        let head = sent.find("\r\n\r\n").unwrap() + 4;
        for cut in 0..sent.len() {
            for (request, reset) in [(get("/x"), false), (get("/x"), true), (post("/x"), false), (post("/x"), true)] {
                let world = World::new(2);
                let client = world.connect();
                client.peer.send(&request);
                settle().await;
                for number in 0..2 {
                    let Some(upstream) = world.upstreams[number].connections().pop() else { continue };
                    upstream.send(&sent[..cut]);
                    settle().await;
                    if reset {
                        upstream.reset()
                    } else {
                        upstream.end()
                    }
                    last_run().await;
                }
                let text = client.peer.text();
                let what = format!("{request:?} cut at {cut}, reset: {reset}: {text:?}");
                if cut < head {
                    assert!(text.starts_with("HTTP/1.1 502 "), "{what}");
                } else {
                    // What came of a chunk goes on as a chunk, so only the end tells.
                    let is_complete = text == expected || text.ends_with("0\r\n\r\n");
                    assert!(
                        !is_complete && text.starts_with(&expected[..expected.find("world").unwrap() - 3]),
                        "{what}"
                    );
                    assert!(client.peer.is_ended(), "{what}");
                }
                let runs = if cut == 0 && request.starts_with("GET") { 2 } else { 1 };
                assert_eq!((world.deliveries("/x"), world.in_flight()), (runs, 0), "{what}");
            }
        }
    }
}

/// Lets a connection settle on which the last run of a request is spent.
async fn last_run() {
    settle().await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    settle().await;
}

/// A world whose upstreams have served a request each, and keep a connection.
async fn warm(upstreams: usize) -> (World, Client) {
    let world = World::new(upstreams);
    let client = world.connect();
    for number in 0..upstreams {
        client.peer.send(get("/warm"));
        settle().await;
        world.upstream(number).send(RESPONSES[0].0);
        settle().await;
        assert_eq!(client.peer.text(), RESPONSES[0].1);
    }
    world.deliveries("");
    (world, client)
}

#[tokio::test(start_paused = true)]
async fn a_get_that_meets_stale_and_broken_connections_runs_twice() {
    let (world, client) = warm(2).await;
    client.peer.send(get("/x"));
    settle().await;
    // First the one that was kept, then a fresh one to the same upstream.
    for number in 0..2 {
        let connections = world.upstreams[0].connections();
        assert_eq!(connections.len(), number + 1);
        connections[number].end();
        last_run().await;
    }
    assert!(client.peer.text().starts_with("HTTP/1.1 502 "));
    assert_eq!((world.deliveries("/x"), world.upstreams[1].connections().len()), (2, 1));
    assert_eq!(world.proxy.retries().granted(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_get_on_a_stale_connection_is_sent_again_to_the_same_upstream() {
    let (world, client) = warm(2).await;
    client.peer.send(get("/x"));
    settle().await;
    world.upstream(0).end();
    last_run().await;
    world.upstream(0).send(RESPONSES[1].0);
    settle().await;
    assert_eq!(client.peer.text(), RESPONSES[1].1);
    assert_eq!((world.deliveries("/x"), world.upstreams[0].connections().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_get_on_a_kept_connection_that_is_reset_is_sent_again_to_another_upstream() {
    let (world, client) = warm(2).await;
    client.peer.send(get("/x"));
    settle().await;
    world.upstream(0).reset();
    last_run().await;
    world.upstream(1).send(RESPONSES[1].0);
    settle().await;
    assert_eq!(client.peer.text(), RESPONSES[1].1);
    assert_eq!((world.deliveries("/x"), world.upstreams[0].connections().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_run_is_not_spent_on_a_connection_that_is_reset_unread() {
    let (world, client) = warm(2).await;
    client.peer.send(get("/x"));
    settle().await;
    world.upstream(0).end();
    settle().await;
    // The fresh connection to the same upstream, while it settles.
    world.upstream(0).reset();
    last_run().await;
    last_run().await;
    world.upstream(1).send(RESPONSES[1].0);
    settle().await;
    assert_eq!(client.peer.text(), RESPONSES[1].1);
    assert_eq!((world.deliveries("/x"), world.upstreams[0].connections().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_post_on_a_stale_connection_is_never_sent_twice() {
    let (world, client) = warm(1).await;
    client.peer.send(post("/x"));
    settle().await;
    world.upstream(0).reset();
    settle().await;
    assert!(client.peer.text().starts_with("HTTP/1.1 502 "));
    assert_eq!((world.deliveries("/x"), world.upstreams[0].connections().len()), (1, 1));
}

/// The race of RFC 9112, section 9.3.1, where nothing of the request was sent: it costs neither a run nor a retry.
#[tokio::test(start_paused = true)]
async fn a_connection_that_accepts_nothing_is_replaced_for_free() {
    for request in [get("/x"), post("/x")] {
        let (world, client) = warm(1).await;
        world.upstream(0).close_for_writing();
        client.peer.send(&request);
        settle().await;
        world.upstream(0).send(RESPONSES[0].0);
        settle().await;
        assert_eq!(client.peer.text(), RESPONSES[0].1);
        assert_eq!((world.deliveries("/x"), world.upstreams[0].connections().len()), (1, 2));
        assert_eq!(world.proxy.retries().granted(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stops_reading_is_still_heard() {
    for room in 0..5 {
        let world = World::new(1);
        let client = world.connect();
        let request = post("/x");
        // Up to the body, so that the connection is there.
        client.peer.send(&request[..request.len() - 5]);
        settle().await;
        let upstream = world.upstream(0);
        upstream.set_room(room);
        client.peer.send("hello");
        settle().await;
        upstream.close_for_writing();
        upstream.send("HTTP/1.1 413 Content Too Large\r\nDate: d\r\nContent-Length: 4\r\n\r\nmuch");
        settle().await;
        let text = client.peer.text();
        assert!(text.starts_with("HTTP/1.1 413 ") && text.ends_with("\r\n\r\nmuch"), "{text:?}");
        assert!(upstream.is_ended(), "its connection is not used again");
    }
}
