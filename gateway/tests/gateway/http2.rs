//! HTTP/2 from clients: the same gateway by another protocol.

use std::io::ErrorKind;
use std::sync::{Mutex, mpsc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};

use crate::support::GUARD;
use crate::support::certificate::NAME;
use crate::support::client;
use crate::support::gateway::Gateway;
use crate::support::h2::{Answer, Sender, fetch, full, get, guard, open, prior_knowledge, request, try_open};
use crate::support::pattern::{MIB, Pattern};
use crate::support::upstream::{Next, Upstream};
use crate::support::visitor::{COOKIE, token};

/// The value of the gateway's cookie, if the response sets it.
fn given(answer: &Answer) -> Option<String> {
    let prefix = format!("{COOKIE}=");
    let set: Vec<_> = answer.all("set-cookie").into_iter().filter_map(|cookie| cookie.strip_prefix(&prefix)).collect();
    assert!(set.len() < 2, "{answer:?}");
    set.first().map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned())
}

async fn fetch_with(sender: &Sender, cookies: &[String]) -> Answer {
    let mut request = get("/");
    for cookie in cookies {
        request.headers_mut().append("cookie", HeaderValue::from_str(cookie).expect("a cookie"));
    }
    fetch(sender, request).await
}

#[tokio::test]
async fn prior_knowledge_is_understood() {
    let upstream = Upstream::named("app-1");
    let gateway = Gateway::start("", &[&upstream]);
    let answer = fetch(&prior_knowledge(gateway.address()).await, get("/x?y=1")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "app-1"));
    let cookie = answer.all("set-cookie").concat();
    assert_eq!(&cookie[COOKIE.len() + 1 + 56..], "; HttpOnly; SameSite=Lax; Path=/");
    let head = upstream.only().head;
    assert_eq!(head.start_line(), "GET /x?y=1 HTTP/1.1");
    assert_eq!(head.all("host"), [NAME]);
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-host"), [NAME]);
    let via = head.one("via").expect("a via");
    assert!(via.starts_with("2 ") || via.starts_with("2.0 "), "{via}");
}

#[tokio::test]
async fn visitors_stay_on_one_connection_of_many() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    let shared = prior_knowledge(gateway.address()).await;
    let mut visitors = Vec::new();
    for _ in 0..40 {
        let answer = fetch(&shared, get("/")).await;
        visitors.push((given(&answer).expect("a cookie"), answer.text()));
    }
    let mut later = tokio::task::JoinSet::new();
    for (token, place) in visitors.clone().into_iter().chain(visitors.clone()) {
        let shared = shared.clone();
        later.spawn(async move {
            let answer = fetch_with(&shared, &[format!("{COOKIE}={token}")]).await;
            (place, answer)
        });
    }
    while let Some(answered) = later.join_next().await {
        let (place, answer) = answered.expect("an answer");
        assert_eq!((answer.text(), given(&answer)), (place, None));
    }
}

#[tokio::test]
async fn a_visitor_is_the_same_in_both_versions() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    for _ in 0..10 {
        let first = fetch(&prior_knowledge(gateway.address()).await, get("/")).await;
        let cookie = format!("Cookie: {COOKIE}={}\r\n", given(&first).expect("a cookie"));
        let second = client::exchange(gateway.address(), client::request("GET", "/", &cookie));
        assert_eq!((second.text(), token(&second.head)), (first.text(), None));
    }
}

#[tokio::test]
async fn cookie_crumbs_are_joined() {
    let upstreams = Upstream::several(5);
    let gateway = Gateway::before(&upstreams);
    let sender = prior_knowledge(gateway.address()).await;
    let first = fetch(&sender, get("/")).await;
    let own = format!("{COOKIE}={}", given(&first).expect("a cookie"));
    let upstream = upstreams.iter().find(|upstream| upstream.name == first.text()).expect("it");
    for crumbs in [
        vec!["a=1".to_owned(), own.clone(), "b=\"2 3\"".to_owned()],
        vec![own.clone(), "a=1".to_owned(), "b=\"2 3\"".to_owned()],
        vec!["a=1".to_owned(), "b=\"2 3\"".to_owned(), own.clone()],
        vec!["a=1".to_owned(), format!("{own}; b=\"2 3\"")],
    ] {
        let answer = fetch_with(&sender, &crumbs).await;
        assert_eq!((answer.text(), given(&answer)), (first.text(), None));
        assert_eq!(upstream.last().head.all("cookie"), ["a=1; b=\"2 3\""], "of {crumbs:?}");
    }
    fetch_with(&sender, &[own]).await;
    assert!(!upstream.last().head.has("cookie"));
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let upstream = Upstream::start("app-1", |exchange| {
        let body = exchange.body()?;
        let length = body.length;
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")?;
        exchange.send(format!("{length:x}\r\n"))?;
        exchange.send(&body.data)?;
        exchange.send("\r\n0\r\nX-Sum: 43\r\nContent-Length: 7\r\n\r\n")?;
        Ok(Next::Request)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut pattern = Pattern::new();
    let large: Vec<u8> = (0..64).flat_map(|_| pattern.next(65_000).to_vec()).collect();
    let trailers =
        async { Some(Ok(HeaderMap::from_iter([("x-sum".parse().expect("a name"), HeaderValue::from_static("42"))]))) };
    // `map_frame` forgets the length: with one, HTTP/1.1 has no place for trailers.
    let body = Full::new(Bytes::from(large.clone())).map_frame(|frame| frame).with_trailers(trailers);
    let body = body.map_err(|never| match never {}).boxed_unsync();
    let mut upload = request("POST", "/", body);
    upload.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    upload.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    let answer = fetch(&prior_knowledge(gateway.address()).await, upload).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == large);
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers.get("x-sum").expect("a sum"), "43");
    assert!(!trailers.contains_key("content-length"));
    let body = upstream.only().body.expect("a body");
    assert!(body.whole && body.data == large);
    assert_eq!(body.trailer("x-sum"), Some("42"));
}

#[tokio::test]
async fn a_stream_that_is_not_read_stops_no_other() {
    let upstream = Upstream::start("app-1", |exchange| {
        if exchange.head.target() == "/small" {
            return exchange.ok("small");
        }
        let length = 8 * MIB;
        exchange.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))?;
        exchange.send(vec![b'x'; length])?;
        Ok(Next::Request)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let sender = prior_knowledge(gateway.address()).await;
    let unread = open(&sender, get("/large")).await;
    for _ in 0..20 {
        assert_eq!(fetch(&sender, get("/small")).await.text(), "small");
    }
    let body = guard(unread.into_body().collect()).await.expect("a whole body");
    assert_eq!(body.to_bytes().len(), 8 * MIB);
}

#[tokio::test]
async fn the_first_event_arrives_before_the_second_is_written() {
    let (seen, was_seen) = mpsc::channel();
    let was_seen = Mutex::new(was_seen);
    let upstream = Upstream::start("app-1", move |exchange| {
        exchange
            .answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n")?;
        was_seen.lock().expect("lock").recv_timeout(GUARD).map_err(|_| ErrorKind::TimedOut)?;
        exchange.send("data: 2\n\n")?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let mut body = open(&prior_knowledge(gateway.address()).await, get("/")).await.into_body();
    let first = guard(body.frame()).await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), "data: 1\n\n");
    seen.send(()).expect("tell the upstream");
    assert_eq!(guard(body.collect()).await.expect("the rest").to_bytes(), "data: 2\n\n");
}

#[tokio::test]
async fn a_response_cut_short_is_never_ended_as_whole() {
    for message in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this much",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let upstream = Upstream::start("app-1", move |exchange| {
            exchange.answer(message)?;
            Ok(Next::Close)
        });
        let gateway = Gateway::start("", &[&upstream]);
        let whole = match try_open(&prior_knowledge(gateway.address()).await, get("/")).await {
            Ok(response) => guard(response.into_body().collect()).await.is_ok(),
            // The reset may overtake the head.
            Err(_) => false,
        };
        assert!(!whole, "{message:?} was ended as whole");
    }
}

#[tokio::test]
async fn an_early_response_arrives_with_the_request_unread() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")?;
        Ok(Next::Close)
    });
    let gateway = Gateway::start("", &[&upstream]);
    let sender = prior_knowledge(gateway.address()).await;
    // An upstream that closes may be noticed by a failing write before its response is read: a race.
    for _ in 0..10 {
        let answer = fetch(&sender, request("POST", "/", full(vec![b'x'; 8 * MIB]))).await;
        assert_eq!((answer.status, answer.text().as_str()), (413, "large"));
    }
}

#[tokio::test]
async fn responses_without_a_body_have_none() {
    let upstream = Upstream::start("app-1", |exchange| match exchange.head.target().as_str() {
        "/204" => exchange.answer("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => exchange.answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n"),
        _ => exchange.answer("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
    });
    let gateway = Gateway::start("", &[&upstream]);
    let sender = prior_knowledge(gateway.address()).await;
    for (method, target, status) in [("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/200", 200)] {
        let answer = fetch(&sender, request(method, target, crate::support::h2::empty())).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
}

#[tokio::test]
async fn hop_by_hop_fields_of_responses_end_here() {
    let upstream = Upstream::start("app-1", |exchange| {
        exchange.answer(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        )
    });
    let gateway = Gateway::start("", &[&upstream]);
    let answer = fetch(&prior_knowledge(gateway.address()).await, get("/")).await;
    assert_eq!(answer.text(), "ok");
    for name in ["connection", "keep-alive", "x-private", "transfer-encoding"] {
        assert!(answer.all(name).is_empty(), "{answer:?}");
    }
}
