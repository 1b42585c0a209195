//! A service around scripted clients in this process. Where a test is one of a fault that others had, it names the
//! public report.

use super::{LeaseBody, Peer, Picked, Sticky, StickyError, UpgradeLease, outcome_of};
use crate::cluster::{Availability, Decision, PinLoss, Upstream};
use crate::health::Outcome;
use crate::http::{RequestKey, TrustedProxies};
use crate::time::FakeClock;
use crate::{Affinity, Balancer, KeyRing, Timestamp, UpstreamConfig};
use http::header::{COOKIE, HOST, RETRY_AFTER, SET_COOKIE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use hyper::body::Bytes;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tower_service::Service;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// `app-1` and `app-2`, each with this limit.
fn balancer(limit: u32) -> Arc<Balancer> {
    let ring = KeyRing::builder("pool", [1; 32]).sign_with(1, [2; 32]).build().unwrap();
    let app = |number| UpstreamConfig::new(format!("app-{number}"), format!("10.0.0.{number}:8080"));
    let balancer = Balancer::builder()
        .upstreams([1, 2].map(|number| app(number).max_in_flight(limit)))
        .policy("round_robin")
        .affinity(Affinity::builder(ring).build().unwrap())
        .build();
    Arc::new(balancer.unwrap())
}

fn upstream(balancer: &Balancer, name: &str) -> Arc<Upstream> {
    Arc::clone(balancer.cluster().find_name(name).unwrap().upstream())
}

fn in_flight(balancer: &Balancer) -> u32 {
    balancer.cluster().members().iter().map(|member| member.upstream().in_flight()).sum()
}

type Script<R> = dyn Fn(&Request<String>) -> R + Send + Sync;
type NextFrame = Option<Result<&'static str, io::Error>>;

/// A client that records its requests and responds by a script. It is ready only where it was polled for it, as tower's
/// limits are: a clone has to be polled itself.
struct Scripted<R> {
    script: Arc<Script<R>>,
    seen: Arc<Mutex<Vec<Request<String>>>>,
    is_ready: bool,
}

impl<R> Clone for Scripted<R> {
    fn clone(&self) -> Self {
        Self { script: Arc::clone(&self.script), seen: Arc::clone(&self.seen), is_ready: false }
    }
}

impl<R> Scripted<R> {
    fn new(script: impl Fn(&Request<String>) -> R + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), seen: Arc::default(), is_ready: false }
    }
}

impl<B, E> Service<Request<String>> for Scripted<Result<Response<B>, E>> {
    type Response = Response<B>;
    type Error = E;
    type Future = Ready<Result<Response<B>, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called before it was ready");
        let response = (self.script)(&request);
        self.seen.lock().unwrap().push(request);
        ready(response)
    }
}

/// Responds with the authority that was asked for.
fn echo() -> Scripted<Result<Response<String>, Infallible>> {
    Scripted::new(|request| Ok(Response::new(request.uri().authority().unwrap().to_string())))
}

fn failing(error: impl Fn() -> io::Error + Send + Sync + 'static) -> Scripted<Result<Response<String>, io::Error>> {
    Scripted::new(move |_| Err(error()))
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Calls the service when it is ready. Everything in these tests responds at once.
fn send<C, R>(sticky: &mut Sticky<C>, request: Request<String>) -> Result<Response<LeaseBody<R>>, StickyError>
where
    C: Service<Request<String>, Response = Response<R>>,
    C::Error: Into<super::BoxError>,
    R: Body,
{
    assert!(sticky.poll_ready(&mut cx()).is_ready());
    match pin!(Service::call(sticky, request)).poll(&mut cx()) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("no response"),
    }
}

fn get(uri: &str) -> Request<String> {
    Request::get(uri).body(String::new()).unwrap()
}

fn with_cookie(cookie: &str) -> Request<String> {
    Request::get("/").header(COOKIE, cookie).body(String::new()).unwrap()
}

/// The cookie that a response sets.
fn cookie<B>(response: &Response<B>) -> String {
    response.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// A body of these frames; `None` is a pause.
#[derive(Debug)]
struct Frames(VecDeque<NextFrame>);

impl Frames {
    fn new(frames: impl IntoIterator<Item = NextFrame>) -> Self {
        Self(frames.into_iter().collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(None) => Poll::Pending,
            Some(Some(frame)) => Poll::Ready(Some(frame.map(|data| Frame::data(data.into())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// The next frame, or an error instead of it.
fn poll<B: Body + Unpin>(body: &mut B) -> Poll<Option<Result<(), B::Error>>> {
    Pin::new(body).poll_frame(&mut cx()).map_ok(drop)
}

#[test]
fn a_session_stays_where_its_first_request_went() {
    let mut sticky = Sticky::new(balancer(0), echo());
    let first = send(&mut sticky, get("/a?b=c")).unwrap();
    let cookie = cookie(&first);
    for _ in 0..4 {
        let again = send(&mut sticky, with_cookie(&cookie)).unwrap();
        assert_eq!(again.body().get_ref(), first.body().get_ref());
        assert!(again.headers().get(SET_COOKIE).is_none());
        assert_eq!(again.extensions().get::<Picked>().unwrap().decision, Decision::Pinned);
    }
    // The control: without the cookie requests alternate.
    let (one, other) = (send(&mut sticky, get("/")).unwrap(), send(&mut sticky, get("/")).unwrap());
    assert_ne!(one.body().get_ref(), other.body().get_ref());
}

#[test]
fn the_client_service_gets_the_upstreams_uri_and_the_clients_host() {
    let client = echo();
    let seen = Arc::clone(&client.seen);
    let mut sticky = Sticky::new(balancer(0), client.clone());
    let request = Request::get("/a?b=c").header(HOST, "shop.example").body("body".to_owned()).unwrap();
    drop(send(&mut sticky, request).unwrap());
    let request = seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (request.uri().to_string().as_str(), &request.headers()[HOST]),
        ("http://10.0.0.1:8080/a?b=c", &"shop.example".parse().unwrap())
    );
    assert_eq!(request.body(), "body");
    let picked = request.extensions().get::<Picked>().unwrap();
    assert_eq!((picked.upstream.name(), picked.decision), ("app-1", Decision::New));

    let mut sticky = Sticky::builder(balancer(0), client).preserve_host(false).scheme(http::uri::Scheme::HTTPS).build();
    let request = Request::get("/").header(HOST, "shop.example").body(String::new()).unwrap();
    drop(send(&mut sticky, request).unwrap());
    let request = seen.lock().unwrap().pop().unwrap();
    assert_eq!((request.uri().to_string().as_str(), request.headers().get(HOST)), ("https://10.0.0.1:8080/", None));
}

/// axum-proxy issue 363 (`UserUnsupportedVersion`) and mod_h2 issues 124 and 235 (`host` and `:authority` disagree).
#[test]
fn a_request_of_http2_is_one_for_http1_with_the_host_that_the_client_asked_for() {
    let client = echo();
    let seen = Arc::clone(&client.seen);
    let mut sticky = Sticky::new(balancer(0), client);
    let mut request = get("https://user@shop.example:8443/a");
    *request.version_mut() = Version::HTTP_2;
    drop(send(&mut sticky, request).unwrap());
    let request = seen.lock().unwrap().pop().unwrap();
    assert_eq!(
        (request.version(), &request.headers()[HOST]),
        (Version::HTTP_11, &"shop.example:8443".parse().unwrap())
    );
    assert_eq!(request.uri(), "http://10.0.0.1:8080/a");
}

#[test]
fn no_request_names_where_it_goes() {
    let client = echo();
    let seen = Arc::clone(&client.seen);
    let mut sticky = Sticky::new(balancer(0), client);
    for (method, target) in
        [(Method::CONNECT, "other.example:443"), (Method::OPTIONS, "*"), (Method::GET, "http://other.example")]
    {
        let request = Request::builder().method(method).uri(target).body(String::new()).unwrap();
        drop(send(&mut sticky, request).unwrap());
        let request = seen.lock().unwrap().pop().unwrap();
        assert!(request.uri().authority().unwrap().as_str().starts_with("10.0.0."), "{}", request.uri());
    }
}

/// pingora issue 892: browsers send each cookie on a line of its own over HTTP/2.
#[test]
fn a_token_among_split_cookies_counts_and_stays_here() {
    let client = echo();
    let seen = Arc::clone(&client.seen);
    let mut sticky = Sticky::new(balancer(0), client);
    let ours = cookie(&send(&mut sticky, get("/")).unwrap());
    let request = Request::get("/").header(COOKIE, "sid=1").header(COOKIE, &ours).header(COOKIE, "lang=de");
    let response = send(&mut sticky, request.body(String::new()).unwrap()).unwrap();
    assert_eq!(response.extensions().get::<Picked>().unwrap().decision, Decision::Pinned);
    let request = seen.lock().unwrap().pop().unwrap();
    let lines: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
    assert_eq!(lines, ["sid=1; lang=de"]);
}

/// hyper issue 2100.
#[test]
fn the_upstreams_own_cookies_stay() {
    let client = Scripted::new(|_| Response::builder().header(SET_COOKIE, "sid=1").body(String::new()));
    let response = send(&mut Sticky::new(balancer(0), client), get("/")).unwrap();
    let lines: Vec<_> = response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
    assert!(lines.len() == 2 && lines[0] == "sid=1" && lines[1].starts_with("homing="), "{lines:?}");
}

/// tower-http pull request 447, tower pull request 74: a limit that counts up to the head of the response does not see
/// a download.
#[test]
fn a_request_is_in_flight_until_the_last_byte_of_its_response() {
    let balancer = balancer(0);
    let frames = || Frames::new([Some(Ok("one")), None, Some(Ok("two"))]);
    let mut sticky =
        Sticky::new(Arc::clone(&balancer), Scripted::new(move |_| Ok::<_, Infallible>(Response::new(frames()))));
    let mut body = send(&mut sticky, get("/")).unwrap().into_body();
    assert!(poll(&mut body).is_ready() && poll(&mut body).is_pending());
    assert_eq!(in_flight(&balancer), 1);
    // Servers do not poll again after the last byte of a known length.
    assert!(poll(&mut body).is_ready() && body.is_end_stream());
    assert_eq!(in_flight(&balancer), 0);

    let mut body = send(&mut sticky, get("/")).unwrap().into_body();
    assert!(poll(&mut body).is_ready());
    assert_eq!(in_flight(&balancer), 1);
    drop(body);
    assert_eq!(in_flight(&balancer), 0);
}

#[test]
fn an_empty_body_holds_nothing() {
    let balancer = balancer(0);
    let mut sticky =
        Sticky::new(Arc::clone(&balancer), Scripted::new(|_| Ok::<_, Infallible>(Response::new(String::new()))));
    let _response = send(&mut sticky, get("/")).unwrap();
    assert_eq!(in_flight(&balancer), 0);
}

/// tower-resilience issue 365: a response that is dropped while it is awaited must free its place.
#[test]
fn a_client_that_goes_away_frees_the_place_and_blames_nothing() {
    let balancer = balancer(0);
    let client = tower::service_fn(|_: Request<String>| std::future::pending::<Result<Response<String>, Infallible>>());
    let mut sticky = Sticky::new(Arc::clone(&balancer), client);
    for _ in 0..20 {
        let mut response = Box::pin(Service::call(&mut sticky, get("/")));
        assert!(response.as_mut().poll(&mut cx()).is_pending());
        assert_eq!(in_flight(&balancer), 1);
        drop(response);
        assert_eq!(in_flight(&balancer), 0);
    }
    assert!(balancer.cluster().members().iter().all(|member| member.upstream().availability() == Availability::ACTIVE));
}

/// tower issue 547, tower-http pull request 561, tower-resilience issue 286: a clone is not ready because its original
/// was. The scripted client panics where it is called without having been polled.
#[test]
fn the_instance_that_was_ready_is_called() {
    let sticky = Sticky::new(balancer(0), echo());
    let mut ready = sticky.clone();
    assert!(ready.poll_ready(&mut cx()).is_ready());
    assert!(pin!(Service::call(&mut ready, get("/"))).poll(&mut cx()).is_ready());
    // hyper's services are not polled for readiness.
    for _ in 0..2 {
        assert!(pin!(hyper::service::Service::call(&sticky, get("/"))).poll(&mut cx()).is_ready());
    }
}

/// tower pull request 472: services that reserve in `poll_ready` and are not called lock others out.
#[test]
fn a_service_that_is_ready_and_never_called_keeps_no_place_from_others() {
    let balancer = balancer(1);
    let sticky = Sticky::new(Arc::clone(&balancer), echo());
    let mut idle = vec![sticky.clone(); 8];
    assert!(idle.iter_mut().all(|sticky| sticky.poll_ready(&mut cx()).is_ready()));
    let mut busy = sticky;
    let _held = [send(&mut busy, get("/")).unwrap(), send(&mut busy, get("/")).unwrap()];
    assert_eq!(in_flight(&balancer), 2);
    // Readiness was a hint: others were faster.
    let result = pin!(Service::call(&mut idle[0], get("/"))).poll(&mut cx());
    assert!(matches!(result, Poll::Ready(Err(StickyError::Full))));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wakes {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// tower-resilience issue 365: a service that is full must not wake itself over and over.
#[test]
fn a_service_that_finds_no_room_waits_until_a_lease_ends() {
    let balancer = balancer(1);
    let mut sticky = Sticky::new(Arc::clone(&balancer), echo());
    let mut held = vec![send(&mut sticky, get("/")).unwrap(), send(&mut sticky, get("/")).unwrap()];
    let wakes: [Arc<Wakes>; 2] = Default::default();
    let wakers = wakes.clone().map(Waker::from);
    let mut waiting = [sticky.clone(), sticky.clone()];
    for (sticky, waker) in waiting.iter_mut().zip(&wakers) {
        assert!(sticky.poll_ready(&mut Context::from_waker(waker)).is_pending());
    }
    assert_eq!((wakes[0].count(), wakes[1].count(), balancer.waiting()), (0, 0, 2));
    held.pop();
    assert_eq!((wakes[0].count(), wakes[1].count()), (1, 0), "the first that waits is woken");
    // It is ready and never called, and the other gets the place.
    assert!(waiting[0].poll_ready(&mut Context::from_waker(&wakers[0])).is_ready());
    assert_eq!(wakes[1].count(), 1);
    held.push(send(&mut waiting[1], get("/")).unwrap());
    assert!(waiting[1].poll_ready(&mut Context::from_waker(&wakers[1])).is_pending());
    drop(waiting);
    assert_eq!(balancer.waiting(), 0);
}

#[test]
fn a_service_does_not_wait_where_no_upstream_accepts_or_another_has_room() {
    let balancer = balancer(1);
    let mut sticky = Sticky::new(Arc::clone(&balancer), echo());
    let _held = send(&mut sticky, get("/")).unwrap();
    assert!(sticky.poll_ready(&mut cx()).is_ready());
    for member in balancer.cluster().members() {
        member.upstream().set_availability(Availability::DOWN);
    }
    assert!(sticky.poll_ready(&mut cx()).is_ready());
    assert!(matches!(send(&mut sticky, get("/")), Err(StickyError::Unavailable)));
}

#[test]
fn a_refused_connection_moves_the_session_and_the_upstream_returns() {
    let (balancer, clock) = (balancer(0), Arc::new(FakeClock::new(NOW)));
    let dead = Arc::new(Mutex::new(String::new()));
    let client = Scripted::new({
        let dead = Arc::clone(&dead);
        move |request: &Request<String>| match request.uri().authority().unwrap().as_str() {
            address if *address == *dead.lock().unwrap() => {
                // As hyper-util's client has it: the cause is within.
                Err(io::Error::other(Nested(io::ErrorKind::ConnectionRefused.into())))
            }
            address => Ok(Response::new(address.to_owned())),
        }
    });
    let mut sticky = Sticky::builder(Arc::clone(&balancer), client).clock(Arc::clone(&clock)).build();
    let first = send(&mut sticky, get("/")).unwrap();
    let (ours, home) = (cookie(&first), first.body().get_ref().clone());
    drop(first);
    dead.lock().unwrap().clone_from(&home);
    let error = send(&mut sticky, with_cookie(&ours)).unwrap_err();
    assert!(matches!(error, StickyError::Client(_)) && error.status() == StatusCode::BAD_GATEWAY);
    assert_eq!(upstream(&balancer, "app-1").availability(), Availability::DOWN);

    let again = send(&mut sticky, with_cookie(&ours)).unwrap();
    assert_ne!(*again.body().get_ref(), home);
    assert_eq!(again.extensions().get::<Picked>().unwrap().decision, Decision::PinLost(PinLoss::NotServing));
    drop(again);
    // Requests let time pass.
    dead.lock().unwrap().clear();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        drop(send(&mut sticky, get("/")));
    }
    assert!(upstream(&balancer, "app-1").availability().serving);
}

#[derive(Debug, thiserror::Error)]
#[error("the cause is within")]
struct Nested(#[source] io::Error);

#[test]
fn errors_in_a_row_eject_and_keep_the_sessions() {
    let (balancer, clock) = (balancer(0), FakeClock::new(NOW));
    let client = Scripted::new(|request| {
        let status = if request.uri().host() == Some("10.0.0.1") { 500 } else { 200 };
        Response::builder().status(status).body("text".to_owned())
    });
    let mut sticky = Sticky::builder(Arc::clone(&balancer), client).clock(clock).build();
    let ours = cookie(&send(&mut sticky, get("/")).unwrap());
    for _ in 0..5 {
        assert_eq!(send(&mut sticky, with_cookie(&ours)).unwrap().status(), 500);
    }
    assert_eq!(upstream(&balancer, "app-1").availability(), Availability::DRAINING);
    let new: Vec<_> = (0..4).map(|_| send(&mut sticky, get("/")).unwrap().status().as_u16()).collect();
    assert_eq!(new, [200; 4]);
}

#[test]
fn a_body_that_breaks_off_is_reported_once_and_ends_the_lease() {
    let balancer = balancer(0);
    let frames = || Frames::new([Some(Ok("one")), Some(Err(io::ErrorKind::ConnectionReset.into())), None]);
    let client = Scripted::new(move |_| Ok::<_, Infallible>(Response::new(frames())));
    let mut sticky = Sticky::builder(Arc::clone(&balancer), client).clock(FakeClock::new(NOW)).build();
    let ours = cookie(&send(&mut sticky, get("/")).unwrap());
    for _ in 0..5 {
        let mut body = send(&mut sticky, with_cookie(&ours)).unwrap().into_body();
        assert!(poll(&mut body).is_ready());
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(_)))));
        assert_eq!(in_flight(&balancer), 0);
    }
    // Each response ends a row of failures, so it takes their rate.
    assert_eq!(upstream(&balancer, "app-1").outcome_counters().failures(), 5);
}

#[test]
fn an_error_says_of_its_upstream_what_is_known() {
    let waited = Duration::from_secs(3);
    let of = |error: io::Error| outcome_of(&Nested(io::Error::other(error)), waited);
    assert_eq!(of(io::Error::from_raw_os_error(111)), Some(Outcome::ConnectRefused));
    assert_eq!(of(io::Error::from_raw_os_error(113)), Some(Outcome::ConnectTimedOut));
    assert_eq!(of(io::Error::from_raw_os_error(110)), Some(Outcome::ConnectTimedOut));
    assert_eq!(of(io::ErrorKind::TimedOut.into()), Some(Outcome::TimedOut { after: waited }));
    assert_eq!(of(io::Error::from_raw_os_error(104)), Some(Outcome::Broken));
    assert_eq!(of(io::ErrorKind::UnexpectedEof.into()), Some(Outcome::Broken));
    // EMFILE: this process has too many files open.
    assert_eq!(of(io::Error::from_raw_os_error(24)), None);
    assert_eq!(outcome_of(&"unknown".parse::<u8>().unwrap_err(), waited), Some(Outcome::Broken));
}

#[test]
fn the_host_may_know_better_what_an_error_means() {
    let (balancer, clock) = (balancer(0), FakeClock::new(NOW));
    let client = failing(|| io::Error::from_raw_os_error(111));
    let mut sticky = Sticky::builder(Arc::clone(&balancer), client).clock(clock).outcome(|_, _| None).build();
    assert!(send(&mut sticky, get("/")).is_err());
    assert_eq!(upstream(&balancer, "app-1").availability(), Availability::ACTIVE);
}

#[test]
fn a_tunnel_is_in_flight_and_its_session_live_until_its_lease_is_dropped() {
    let (balancer, clock) = (balancer(0), Arc::new(FakeClock::new(NOW)));
    let client = Scripted::new(|_| Response::builder().status(101).body(String::new()));
    let mut sticky = Sticky::builder(Arc::clone(&balancer), client).clock(Arc::clone(&clock)).build();
    let mut response = send(&mut sticky, get("/")).unwrap();
    let lease = response.extensions_mut().remove::<UpgradeLease>().unwrap();
    drop(response);
    assert_eq!((in_flight(&balancer), lease.upstream().name()), (1, "app-1"));
    let live = |after: u64| {
        let now = NOW.after(Duration::from_secs(after));
        balancer.tick(now);
        upstream(&balancer, "app-1").live_sessions(now)
    };
    assert_eq!((live(1000), live(2000)), (1, 1));
    let clone = lease.clone();
    drop(lease);
    assert_eq!(in_flight(&balancer), 1);
    drop(clone);
    assert_eq!((in_flight(&balancer), live(5000)), (0, 0));

    // A lease that is not taken ends with the response.
    drop(send(&mut sticky, get("/")).unwrap());
    assert_eq!(in_flight(&balancer), 0);
}

#[test]
fn the_client_is_the_peer_or_the_one_whom_trusted_proxies_name() {
    let ring = || KeyRing::builder("pool", [1; 32]).sign_with(1, [2; 32]).build().unwrap();
    let app = |number| UpstreamConfig::new(format!("app-{number}"), format!("10.0.0.{number}:8080"));
    let balancer = Balancer::builder()
        .upstreams((1..=20).map(app))
        .policy("rendezvous")
        .affinity(Affinity::builder(ring()).build().unwrap())
        .build();
    let trusted = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
    let mut sticky = Sticky::builder(balancer.unwrap(), echo()).trusted_proxies(trusted).build();
    let mut place = |peer: Option<Peer>, forwarded: &str| {
        let mut request = Request::get("/").header("x-forwarded-for", forwarded).header("x-forwarded-proto", "https");
        if let Some(peer) = peer {
            request.extensions_mut().unwrap().insert(peer);
        }
        let response = send(&mut sticky, request.body(String::new()).unwrap()).unwrap();
        let is_secure = response.headers()[SET_COOKIE].to_str().unwrap().contains("; Secure");
        (response.body().get_ref().clone(), is_secure)
    };
    let peer = |text: &str| Some(Peer::new(text.parse::<IpAddr>().unwrap()));
    let direct = place(peer("203.0.113.9"), "198.51.100.7");
    assert!(!direct.1, "an untrusted peer says nothing");
    let behind_proxy = place(peer("10.0.0.9"), "203.0.113.9");
    assert_eq!(behind_proxy, (direct.0, true));
    assert!(place(peer("203.0.113.9").map(|peer| peer.https(true)), "").1);
    // Without a peer there is no address, and no failure: axum's ConnectInfo is absent where the router was not served
    // with it.
    assert!(!place(None, "203.0.113.9").1);
}

#[test]
fn hash_policies_get_the_configured_part_of_a_request() {
    let app = |number| UpstreamConfig::new(format!("app-{number}"), format!("10.0.0.{number}:8080"));
    let balancer = Balancer::builder().upstreams((1..=20).map(app)).policy("rendezvous").build().unwrap();
    let key: RequestKey = "query:room".parse().unwrap();
    let mut sticky = Sticky::builder(balancer, echo()).key(key).build();
    let mut place = |target: &str| send(&mut sticky, get(target)).unwrap().body().get_ref().clone();
    let rooms: Vec<_> = (0..10).map(|room| place(&format!("/chat?room={room}"))).collect();
    for (room, placed) in rooms.iter().enumerate() {
        assert_eq!(place(&format!("/other?x=1&room={room}")), *placed);
    }
    assert!(rooms.iter().any(|placed| *placed != rooms[0]), "{rooms:?}");
}

/// Errors that are not `Send`, or have a type that `?` does not convert, cannot pass through tower's layers.
#[test]
fn errors_and_services_pass_wherever_tower_takes_them() {
    fn passes<T: Send + Sync + 'static>() {}
    fn is_error<T: Error + Send + Sync + 'static>() {}
    is_error::<StickyError>();
    passes::<Sticky<Scripted<Result<Response<String>, Infallible>>>>();
    passes::<LeaseBody<String>>();
    passes::<super::ResponseFuture<Ready<Result<Response<String>, Infallible>>>>();
    // A client of tower's layers has boxed errors.
    let client = tower::service_fn(|_: Request<String>| ready(Err::<Response<String>, super::BoxError>("none".into())));
    let error = send(&mut Sticky::new(balancer(0), client), get("/")).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.source().unwrap().to_string().as_str()),
        ("the client service failed", "none")
    );
}

#[test]
fn a_request_without_an_upstream_has_a_response_that_says_when_to_come_again() {
    let balancer = balancer(1);
    let mut sticky = Sticky::new(Arc::clone(&balancer), echo());
    let held = [send(&mut sticky, get("/")).unwrap(), send(&mut sticky, get("/")).unwrap()];
    let error = Service::call(&mut sticky, get("/"));
    let Poll::Ready(Err(error)) = pin!(error).poll(&mut cx()) else { panic!("there is no place") };
    let response: Response<String> = error.response();
    assert_eq!(
        (response.status(), &response.headers()[RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    assert!(matches!(error, StickyError::Full));
    drop(held);
    for member in balancer.cluster().members() {
        member.upstream().set_availability(Availability::DOWN);
    }
    assert!(matches!(send(&mut sticky, get("/")), Err(StickyError::Unavailable)));
}

#[test]
fn an_address_that_is_no_authority_is_an_error_and_frees_the_place() {
    let balancer = Arc::new(Balancer::builder().upstream(UpstreamConfig::new("app-1", "no host")).build().unwrap());
    let error = send(&mut Sticky::new(Arc::clone(&balancer), echo()), get("/")).unwrap_err();
    assert!(error.to_string().contains("app-1") && error.status() == StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(in_flight(&balancer), 0);
}
