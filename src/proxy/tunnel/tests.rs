//! Tunnels that are closed when their upstream drains, between two ends in memory.

use super::close::GRACE;
use super::copy::*;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

const ROOM: usize = 1024 * 1024;
const IDLE: Duration = Duration::from_secs(60);

/// A Close as a server says it, and as a client does.
const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xf4];
const MASKED_CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];
/// Data as a client says it.
const HELLO: &[u8] = &[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];

/// A server's frame of data with a header of four bytes.
fn data(first: u8) -> Vec<u8> {
    [&[first, 126, 0, 200], [0x81; 200].as_slice()].concat()
}

/// A client's, of the same length.
fn masked_data() -> Vec<u8> {
    [&[0x82, 0x80 | 126, 0, 196, 9, 9, 9, 9], [0x88; 196].as_slice()].concat()
}

/// Counts wakes: the tunnel is polled only if it was woken, so that one that forgot to register a waker is noticed.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A tunnel with both its ends, which moves when it is told to.
struct Scene {
    client: DuplexStream,
    upstream: DuplexStream,
    tunnel: Pin<Box<dyn Future<Output = io::Result<()>>>>,
    tell: Option<oneshot::Sender<()>>,
    woken: Arc<Woken>,
}

async fn told(tell: oneshot::Receiver<()>) {
    tell.await.expect("the sender stays");
}

impl Scene {
    fn new(protocol: TunnelProtocol) -> Self {
        Self::with(protocol, b"", ROOM)
    }

    fn with(protocol: TunnelProtocol, early: &'static [u8], room: usize) -> Self {
        Self::of(room, move |mut client, mut upstream, tell| async move {
            let leaving = std::pin::pin!(told(tell));
            tunnel(&mut client, &mut upstream, [Bytes::new(), Bytes::from_static(early)], protocol, IDLE, leaving).await
        })
    }

    fn of<F>(room: usize, tunnel: impl FnOnce(DuplexStream, DuplexStream, oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        let (client, to_client) = duplex(room);
        let (upstream, to_upstream) = duplex(room);
        let (tell, wait) = oneshot::channel();
        let tunnel = Box::pin(tunnel(to_client, to_upstream, wait));
        let mut scene =
            Self { client, upstream, tunnel, tell: Some(tell), woken: Arc::new(Woken(AtomicUsize::new(1))) };
        assert!(scene.turn().is_pending());
        scene
    }

    /// Lets the tunnel do all that it was woken for.
    fn turn(&mut self) -> Poll<io::Result<()>> {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.woken.0.swap(0, std::sync::atomic::Ordering::Relaxed) > 0 {
            let tunnel = std::pin::pin!(unconstrained(self.tunnel.as_mut()));
            if let Poll::Ready(ended) = tunnel.poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    }

    fn leave(&mut self) {
        self.tell.take().expect("once").send(()).expect("the tunnel listens");
        assert!(self.turn().is_pending());
    }

    async fn client_says(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.expect("room for it");
        assert!(self.turn().is_pending());
    }

    async fn upstream_says(&mut self, bytes: &[u8]) {
        self.upstream.write_all(bytes).await.expect("room for it");
        assert!(self.turn().is_pending());
    }

    /// What the client and the upstream have heard since they were last asked.
    fn heard(&mut self) -> (Heard, Heard) {
        (hear(&mut self.client), hear(&mut self.upstream))
    }

    /// Both end their streams, and so does the tunnel.
    async fn end(mut self) {
        self.client.shutdown().await.expect("shut down");
        self.upstream.shutdown().await.expect("shut down");
        assert!(matches!(self.turn(), Poll::Ready(Ok(()))));
    }
}

/// What came, and whether the stream has ended behind it.
#[derive(Debug, PartialEq, Eq, Default)]
struct Heard(Vec<u8>, bool);

fn open(bytes: impl AsRef<[u8]>) -> Heard {
    Heard(bytes.as_ref().to_vec(), false)
}

fn ended(bytes: impl AsRef<[u8]>) -> Heard {
    Heard(bytes.as_ref().to_vec(), true)
}

fn hear(stream: &mut DuplexStream) -> Heard {
    let mut heard = Heard::default();
    loop {
        let reading = std::pin::pin!(unconstrained(stream.read_buf(&mut heard.0)));
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(ended) => {
                ended.expect("no error");
                heard.1 = true;
                return heard;
            }
            Poll::Pending => return heard,
        }
    }
}

/// What both sides hear of a tunnel that is told to leave when `split` bytes of the upstream's `down` and of the
/// client's `up` have come, the rest of which comes then, and more.
async fn leaving_amid(mut scene: Scene, down: &[u8], up: &[u8], split: usize) -> (Vec<u8>, Vec<u8>) {
    scene.upstream_says(&down[..split.min(down.len())]).await;
    scene.client_says(&up[..split.min(up.len())]).await;
    scene.leave();
    scene.upstream.write_all(&down[split.min(down.len())..]).await.expect("room for it");
    scene.client.write_all(&up[split.min(up.len())..]).await.expect("room for it");
    // These must not be passed on.
    scene.upstream.write_all(&data(0x82)).await.expect("room for it");
    scene.client.write_all(HELLO).await.expect("room for it");
    // The naive one has gone by now.
    let _ = scene.turn();
    let (client, upstream) = scene.heard();
    (client.0, upstream.0)
}

/// What must have been heard: frames that are whole, and a Close behind them.
fn whole(frames: &[u8], close: &[u8]) -> Vec<u8> {
    [frames, close].concat()
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_the_end_of_the_frame_both_ways() {
    let (down, up) = (data(0x82), masked_data());
    for split in 1..=up.len() {
        let (client, upstream) = leaving_amid(Scene::new(TunnelProtocol::WebSocket), &down, &up, split).await;
        assert_eq!(client, whole(&down, CLOSE), "{split}");
        assert_eq!(upstream, whole(&up, MASKED_CLOSE), "{split}");
    }
    let (client, upstream) = leaving_amid(Scene::new(TunnelProtocol::WebSocket), &down, &up, 0).await;
    assert_eq!((client.as_slice(), upstream.as_slice()), (CLOSE, MASKED_CLOSE));
}

/// One that writes its Close where it happens to be.
async fn naive(mut client: DuplexStream, mut upstream: DuplexStream, tell: oneshot::Receiver<()>) -> io::Result<()> {
    tokio::select! {
        biased;
        () = told(tell) => {}
        copied = tokio::io::copy_bidirectional(&mut client, &mut upstream) => return copied.map(drop),
    }
    client.write_all(CLOSE).await?;
    upstream.write_all(MASKED_CLOSE).await?;
    // What was under way goes on.
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_close_inside_a_frame_is_noticed() {
    let (down, up) = (data(0x82), masked_data());
    for split in 1..=down.len() {
        let (client, upstream) = leaving_amid(Scene::of(ROOM, naive), &down, &up, split).await;
        assert_eq!(client.starts_with(&whole(&down, CLOSE)), split == down.len(), "{split}");
        assert_eq!(upstream.starts_with(&whole(&up, MASKED_CLOSE)), split == up.len(), "{split}");
        assert!(client.len() > down.len() && upstream.len() > up.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_may_come_between_fragments() {
    let fragment = data(0x01);
    let (client, _) = leaving_amid(Scene::new(TunnelProtocol::WebSocket), &fragment, b"", fragment.len()).await;
    assert_eq!(client, whole(&fragment, CLOSE));
}

#[tokio::test(start_paused = true)]
async fn bytes_beside_the_101_are_frames_too() {
    let mut scene = Scene::with(TunnelProtocol::WebSocket, &[0x81, 5, b'h', b'e'], ROOM);
    scene.leave();
    assert_eq!(scene.heard(), (open([0x81, 5, b'h', b'e']), open(MASKED_CLOSE)));
    scene.upstream_says(b"llo and no more").await;
    assert_eq!(scene.heard().0, open(whole(b"llo", CLOSE)));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_answers_is_told_the_end() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.leave();
    assert_eq!(scene.heard(), (open(CLOSE), open(MASKED_CLOSE)));
    // What the client said before it knew, and its answer in two pieces: the upstream hears neither.
    scene.client_says(&[HELLO, &MASKED_CLOSE[..1]].concat()).await;
    assert_eq!(scene.heard(), (open(b""), open(b"")));
    scene.client_says(&MASKED_CLOSE[1..]).await;
    assert_eq!(scene.heard(), (ended(b""), open(b"")));
    scene.upstream_says(&[data(0x82), CLOSE.to_vec()].concat()).await;
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_side_that_has_closed_is_not_closed_again() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.upstream_says(&[0x88, 2, 0x03, 0xe8]).await;
    scene.leave();
    assert_eq!(scene.heard(), (open([0x88, 2, 0x03, 0xe8]), ended(MASKED_CLOSE)));
    scene.client_says(MASKED_CLOSE).await;
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.end().await;

    // The client's Close is under way while the tunnel is told.
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.client_says(&MASKED_CLOSE[..5]).await;
    scene.leave();
    scene.client_says(&MASKED_CLOSE[5..]).await;
    scene.client_says(HELLO).await;
    assert_eq!(scene.heard(), (ended(CLOSE), open(MASKED_CLOSE)));
    scene.upstream_says(CLOSE).await;
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_tunnel_says_a_close_where_it_still_can() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.upstream.shutdown().await.expect("shut down");
    assert!(scene.turn().is_pending());
    assert_eq!(scene.heard(), (ended(b""), open(b"")));
    scene.leave();
    assert_eq!(scene.heard(), (ended(b""), ended(MASKED_CLOSE)));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_amid_a_frame_is_passed_on() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.upstream_says(&[0x81, 5, b'h']).await;
    scene.leave();
    scene.upstream.shutdown().await.expect("shut down");
    assert!(scene.turn().is_pending());
    assert_eq!(scene.heard(), (ended([0x81, 5, b'h']), ended(MASKED_CLOSE)));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_websocket_is_told_the_end_alone() {
    let mut scene = Scene::new(TunnelProtocol::Opaque);
    scene.upstream_says(CLOSE).await;
    scene.client_says(&[0x81]).await;
    scene.leave();
    assert_eq!(scene.heard(), (ended(CLOSE), ended([0x81])));
    scene.client_says(b"too late").await;
    scene.upstream_says(b"too late").await;
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_side_that_breaks_the_rules_passes_and_gets_the_end_alone() {
    // An unmasked frame from a client, before the tunnel is told and while it leaves.
    let bare = [0x81, 2, b'h', b'i'];
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.client_says(&bare).await;
    scene.upstream_says(&data(0x82)).await;
    scene.client_says(b"anything").await;
    assert_eq!(scene.heard(), (open(data(0x82)), open([bare.as_slice(), b"anything"].concat())));
    scene.upstream_says(&[0x82, 9]).await;
    scene.leave();
    assert_eq!(scene.heard(), (ended([0x82, 9]), ended(b"")));
    scene.end().await;

    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.client_says(&bare[..1]).await;
    scene.upstream_says(&[0x82, 9]).await;
    scene.leave();
    assert_eq!(scene.heard(), (open([0x82, 9]), open(&bare[..1])));
    scene.client_says(&bare[1..]).await;
    assert_eq!(scene.heard(), (ended(b""), ended(&bare[1..2])));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_side_that_does_not_answer_is_shut_down_after_the_grace() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.leave();
    assert_eq!(scene.heard(), (open(CLOSE), open(MASKED_CLOSE)));
    tokio::time::advance(GRACE - Duration::from_millis(2)).await;
    assert!(scene.turn().is_pending());
    assert_eq!(scene.heard(), (open(b""), open(b"")));
    tokio::time::advance(Duration::from_millis(4)).await;
    assert!(scene.turn().is_pending());
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_does_not_end_is_cut_after_the_grace() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.upstream_says(&[0x82, 9, 1]).await;
    scene.client_says(&HELLO[..7]).await;
    scene.leave();
    assert_eq!(scene.heard(), (open([0x82, 9, 1]), open(&HELLO[..7])));
    tokio::time::advance(GRACE + Duration::from_millis(2)).await;
    assert!(scene.turn().is_pending());
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.client_says(&HELLO[7..]).await;
    assert_eq!(scene.heard(), (ended(b""), ended(b"")));
    scene.end().await;
}

/// Runs until both sides' patience is over; the clock moves on only where nothing else can.
async fn lasts(protocol: TunnelProtocol, room: usize, said: &[u8]) -> Duration {
    let (mut client, mut to_client) = duplex(room);
    let (mut upstream, mut to_upstream) = duplex(room);
    let (tell, wait) = oneshot::channel();
    let tunnelling = tokio::spawn(async move {
        let leaving = std::pin::pin!(told(wait));
        tunnel(&mut to_client, &mut to_upstream, Default::default(), protocol, IDLE, leaving).await
    });
    client.write_all(&said[..said.len().min(room)]).await.expect("room for it");
    upstream.write_all(&said[..said.len().min(room)]).await.expect("room for it");
    tell.send(()).expect("the tunnel listens");
    let start = Instant::now();
    tunnelling.await.expect("no panic").expect("in good order");
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn no_tunnel_outlives_twice_the_grace() {
    let late = |lasted: Duration, due: Duration| lasted >= due && lasted < due + Duration::from_millis(5);
    // Ends that stay open and silent, speak no frames, stop amid one, or take nothing.
    assert!(late(lasts(TunnelProtocol::WebSocket, ROOM, b"").await, 2 * GRACE));
    assert!(late(lasts(TunnelProtocol::Opaque, ROOM, b"bytes").await, GRACE));
    assert!(late(lasts(TunnelProtocol::WebSocket, ROOM, &[0x82]).await, 2 * GRACE));
    assert!(late(lasts(TunnelProtocol::WebSocket, 2, CLOSE).await, 2 * GRACE));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_accepts_nothing_is_waited_for_as_long_as_one_that_has_ended() {
    let (mut client, mut to_client) = duplex(8);
    let (mut upstream, mut to_upstream) = duplex(8);
    let tunnelling = tokio::spawn(async move {
        let leaving = std::pin::pin!(std::future::pending());
        tunnel(&mut to_client, &mut to_upstream, Default::default(), TunnelProtocol::Opaque, IDLE, leaving).await
    });
    // A stall that ended long ago is none any more; nor is silence.
    upstream.write_all(&[1; 24]).await.expect("room for it");
    client.read_exact(&mut [0; 24]).await.expect("all of it");
    tokio::time::sleep(10 * IDLE).await;
    assert!(!tunnelling.is_finished());

    upstream.write_all(&[2; 24]).await.expect("room for it");
    drop(upstream);
    tokio::time::sleep(IDLE / 2).await;
    client.read_exact(&mut [0; 1]).await.expect("some of it");
    let start = Instant::now();
    let ended = tokio::time::timeout(10 * IDLE, tunnelling).await.expect("it ends");
    let error = ended.expect("no panic").expect_err("it was cut off");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= IDLE && start.elapsed() < IDLE + Duration::from_millis(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_side_that_fails_does_not_keep_the_other_from_its_close() {
    let mut scene = Scene::new(TunnelProtocol::WebSocket);
    scene.upstream_says(&[0x82, 9, 1]).await;
    scene.tell.take().expect("once").send(()).expect("the tunnel listens");
    assert!(scene.turn().is_pending());
    scene.client = duplex(1).0;
    // Writing to the client fails now; the upstream is heard out all the same.
    scene.upstream_says(&[2; 8]).await;
    assert_eq!(hear(&mut scene.upstream), open(MASKED_CLOSE));
    scene.upstream_says(CLOSE).await;
    assert_eq!(hear(&mut scene.upstream), ended(b""));
    scene.upstream.shutdown().await.expect("shut down");
    assert!(matches!(scene.turn(), Poll::Ready(Ok(()))));
}

/// Two ends that go by the book take it for what it is, whatever was under way.
#[tokio::test]
async fn endpoints_that_check_take_the_close_for_what_it_is() {
    let (client, mut to_client) = duplex(4096);
    let (upstream, mut to_upstream) = duplex(4096);
    let (tell, wait) = oneshot::channel();
    let tunnelling = tokio::spawn(async move {
        let leaving = std::pin::pin!(told(wait));
        tunnel(&mut to_client, &mut to_upstream, Default::default(), TunnelProtocol::WebSocket, IDLE, leaving).await
    });
    let talk = |stream: DuplexStream, role: Role, size: usize, mut tell: Option<oneshot::Sender<()>>| async move {
        let (mut sink, mut stream) = WebSocketStream::from_raw_socket(stream, role, None).await.split();
        let sending = async {
            // Until the other end has closed.
            while sink.send(Message::binary(vec![0x88; size])).await.is_ok() {}
        };
        let hearing = async {
            let mut closes = Vec::new();
            let mut heard = 0;
            while let Some(message) = stream.next().await {
                match message.expect("a message by the book") {
                    Message::Close(close) => closes.push(close),
                    message => assert!(message.into_data().iter().all(|byte| *byte == 0x88)),
                }
                heard += 1;
                if heard == 20 {
                    tell.take().into_iter().for_each(|tell| tell.send(()).expect("the tunnel listens"));
                }
            }
            closes
        };
        tokio::join!(sending, hearing).1
    };
    let (at_client, at_upstream) =
        tokio::join!(talk(client, Role::Client, 70_000, Some(tell)), talk(upstream, Role::Server, 30_000, None));
    let restart = CloseFrame { code: CloseCode::Restart, reason: "".into() };
    assert_eq!((at_client, at_upstream), (vec![Some(restart.clone())], vec![Some(restart)]));
    tunnelling.await.expect("no panic").expect("in good order");
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.expect("connect"), accepted.expect("accept").0)
}

/// What a client that talks on hears of the end, once the tunnel is gone: a reset, or all there is.
async fn hears_after<F>(leave: impl FnOnce(TcpStream) -> F) -> io::Result<Vec<u8>>
where
    F: Future<Output = ()>,
{
    let (mut client, to_client) = connected().await;
    client.write_all(&HELLO.repeat(1000)).await.expect("write");
    to_client.readable().await.expect("readable");
    let leaving = leave(to_client);
    client.shutdown().await.expect("shut down");
    leaving.await;
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.map(|_| heard)
}

#[tokio::test]
async fn a_client_that_talks_on_is_not_reset() {
    let heard = hears_after(|mut to_client| async move {
        let (upstream, mut to_upstream) = connected().await;
        drop(upstream);
        let leaving = std::pin::pin!(std::future::ready(()));
        let left =
            tunnel(&mut to_client, &mut to_upstream, Default::default(), TunnelProtocol::WebSocket, IDLE, leaving)
                .await;
        left.expect("in good order");
    });
    assert_eq!(heard.await.expect("no reset"), CLOSE);
    // One that reads nothing after its Close.
    let heard = hears_after(|mut to_client| async move {
        to_client.write_all(CLOSE).await.expect("write");
    });
    assert_eq!(heard.await.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
}

/// What an idle client costs is measured by benches/gateway; this is the part that is decided here.
#[test]
fn an_idle_tunnel_is_small() {
    let (mut client, mut upstream) = duplex(1);
    let leaving = std::pin::pin!(std::future::pending());
    let tunnel = tunnel(&mut client, &mut upstream, Default::default(), TunnelProtocol::WebSocket, IDLE, leaving);
    assert!(size_of_val(&tunnel) <= 320, "{}", size_of_val(&tunnel));
}
