//! Upstream connections over streams in memory: every cut, every size of a write.

use super::connection::UpstreamConnection;
use super::error::{BodyError, ExchangeError, UploadError};
use super::upload::{NoBody, Upload};
use crate::cluster::{Upstream, UpstreamConfig};
use crate::proxy::http1::{Length, Malformed, ResponseHead};
use crate::proxy::io::scripted::{Peer, ScriptedStream, scripted, settle};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

type Connection = UpstreamConnection<ScriptedStream>;

const WITHIN: Duration = Duration::from_secs(60);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n";

fn upstream() -> Arc<Upstream> {
    let balancer = crate::Balancer::builder().upstream(UpstreamConfig::new("a", "a:1")).build().unwrap();
    Arc::clone(balancer.cluster().find_name("a").unwrap().upstream())
}

fn connection() -> (Connection, Peer) {
    let (stream, peer) = scripted();
    (Connection::new(stream, upstream(), None, WITHIN), peer)
}

/// A body of these frames; `None` waits until the test pushes more.
struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    length: Option<u64>,
    ends: bool,
    taken: usize,
}

impl Frames {
    fn new(frames: &[&'static str], length: Option<u64>) -> Self {
        let frames = frames.iter().map(|data| Frame::data(Bytes::from_static(data.as_bytes()))).collect();
        Self { frames, length, ends: true, taken: 0 }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.frames.pop_front() {
            Some(frame) => {
                self.taken += 1;
                Poll::Ready(Some(Ok(frame)))
            }
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or(SizeHint::default(), SizeHint::with_exact)
    }
}

/// A response to its end: the status, the body, and how it ended.
type Ending = Result<(StatusCode, Vec<u8>, Option<BodyError>), ExchangeError>;

/// Runs an exchange and reads its response to the end. Gives back the connection, and whether there is an upload left.
async fn run(mut connection: Connection, head: &'static [u8], body: Option<Frames>) -> (Ending, Connection, bool) {
    let mut upload = body.map(|body| Box::new(Upload::new(body)));
    let response = connection.exchange(head, &mut upload, false, WITHIN).await;
    let ResponseHead { status, .. } = match response {
        Ok(response) => response,
        Err(error) => return (Err(error), connection, upload.is_some()),
    };
    let (mut read, mut broken) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx, &mut upload)).await {
        match frame {
            Ok(frame) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    (Ok((status, read, broken)), connection, upload.is_some())
}

const RESPONSES: [(&str, &str); 4] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n", "hello!"),
    ("HTTP/1.1 204 No Content\r\n\r\n", ""),
];

#[tokio::test(start_paused = true)]
async fn a_response_is_the_same_wherever_reads_cut_it() {
    for (response, body) in RESPONSES {
        for cut in 0..=response.len() {
            let (connection, peer) = connection();
            let running = tokio::spawn(run(connection, GET, None));
            settle().await;
            peer.send(&response[..cut]);
            settle().await;
            peer.send(&response[cut..]);
            let (ending, connection, _) = running.await.unwrap();
            let (_, read, broken) = ending.unwrap();
            assert!(read == body.as_bytes() && broken.is_none(), "{response:?} cut at {cut}: {broken:?}");
            assert!(connection.is_reusable(), "{response:?} cut at {cut}");
            assert_eq!(peer.received(), GET);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_ends_or_is_reset_between_any_two_bytes_is_never_taken_for_complete() {
    for (response, body) in RESPONSES {
        for cut in 0..response.len() {
            for reset in [false, true] {
                let (connection, peer) = connection();
                let running = tokio::spawn(run(connection, GET, None));
                settle().await;
                peer.send(&response[..cut]);
                settle().await;
                if reset {
                    peer.reset()
                } else {
                    peer.end()
                }
                let (ending, connection, _) = running.await.unwrap();
                let what = format!("{response:?} at {cut}, reset: {reset}");
                match ending {
                    Err(ExchangeError::Broken { answered, error }) => {
                        assert_eq!(answered, cut > 0, "{what}");
                        let is_io = matches!(error, BodyError::Io(_));
                        assert!(
                            is_io == reset && (reset || matches!(error, BodyError::Malformed(Malformed::Incomplete)))
                        );
                    }
                    Ok((_, read, Some(_))) => assert!(body.as_bytes().starts_with(&read), "{what}"),
                    other => panic!("{what}: {other:?}"),
                }
                assert!(!connection.is_reusable(), "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_length_ends_with_the_connection_but_not_with_a_reset() {
    for reset in [false, true] {
        let (connection, peer) = connection();
        let running = tokio::spawn(run(connection, GET, None));
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        settle().await;
        if reset {
            peer.reset()
        } else {
            peer.end()
        }
        let (ending, connection, _) = running.await.unwrap();
        let (_, read, broken) = ending.unwrap();
        assert_eq!((read.as_slice(), broken.is_some()), (b"hello".as_slice(), reset));
        assert!(!connection.is_reusable());
    }
}

const CHUNKED: &str = "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_request_is_the_same_whatever_a_write_accepts() {
    let message = [POST, CHUNKED.as_bytes()].concat();
    for max_write in 1..=message.len() {
        let (connection, peer) = connection();
        peer.set_max_write(max_write);
        let running = tokio::spawn(run(connection, POST, Some(Frames::new(&["hello", "", ", world"], None))));
        settle().await;
        assert_eq!(peer.received(), message, "{max_write}");
        assert_eq!(peer.writes(), message.len().div_ceil(max_write), "{max_write}");
        peer.send(RESPONSES[0].0);
        let (ending, connection, left) = running.await.unwrap();
        assert!(ending.is_ok() && connection.is_reusable() && !left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_on_wherever_the_upstream_pauses() {
    let message = [POST, b"hello, world"].concat();
    for room in 0..message.len() {
        let (connection, peer) = connection();
        peer.set_room(room);
        let running = tokio::spawn(run(connection, POST, Some(Frames::new(&["hello", ", world"], Some(12)))));
        settle().await;
        assert_eq!(peer.received(), message[..room]);
        peer.set_room(usize::MAX);
        settle().await;
        assert_eq!(peer.received(), message[room..]);
        peer.send(RESPONSES[0].0);
        assert!(running.await.unwrap().1.is_reusable());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stops_reading_midway_is_still_heard_and_not_used_again() {
    let message = POST.len() + 12;
    for room in 0..=message {
        let (connection, peer) = connection();
        peer.set_room(room);
        let running = tokio::spawn(run(connection, POST, Some(Frames::new(&["hello", ", world"], Some(12)))));
        settle().await;
        peer.close_for_writing();
        settle().await;
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch");
        let (ending, connection, left) = running.await.unwrap();
        match ending {
            // Nothing went, so it may be sent elsewhere: the body is there.
            Err(ExchangeError::Unsent) => assert!(room == 0 && left),
            Ok((status, read, None)) => {
                assert_eq!((status, read.as_slice()), (StatusCode::PAYLOAD_TOO_LARGE, b"much".as_slice()));
                assert!(room > 0 && !left);
                assert_eq!(connection.is_reusable(), room == message, "{room}");
            }
            other => panic!("{room}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_before_the_request_is_sent_goes_on_sending() {
    let (connection, peer) = connection();
    peer.set_room(POST.len() + 3);
    let running = tokio::spawn(run(connection, POST, Some(Frames::new(&["hello", ", world"], Some(12)))));
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    settle().await;
    peer.received();
    peer.set_room(usize::MAX);
    settle().await;
    assert_eq!(peer.text(), "lo, world");
    peer.send("llo");
    let (ending, connection, left) = running.await.unwrap();
    assert_eq!(ending.unwrap().1, b"hello");
    assert!(connection.is_reusable() && !left);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_request_is_not_sent_whole_is_not_used_again() {
    let (connection, peer) = connection();
    peer.set_room(POST.len());
    let running = tokio::spawn(run(connection, POST, Some(Frames::new(&["hello"], Some(5)))));
    peer.send(RESPONSES[0].0);
    let (ending, connection, left) = running.await.unwrap();
    assert!(ending.unwrap().2.is_none() && left && !connection.is_reusable());
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_a_response_make_a_connection_useless() {
    let (connection, peer) = connection();
    let running = tokio::spawn(run(connection, GET, None));
    peer.send(format!("{}x", RESPONSES[0].0));
    assert!(!running.await.unwrap().1.is_reusable());
    // So do bytes that come while it is idle.
    let (mut connection, peer) = self::connection();
    assert!(connection.is_still_open() && connection.is_reused());
    peer.send("x");
    assert!(!connection.is_still_open());
    let (mut connection, peer) = self::connection();
    peer.end();
    assert!(!connection.is_still_open());
}

#[tokio::test(start_paused = true)]
async fn time_runs_from_the_last_byte_of_the_client() {
    let (mut connection, _peer) = connection();
    let start = Instant::now();
    let answered = connection.exchange::<NoBody>(GET, &mut None, false, WITHIN).await;
    assert!(matches!(answered, Err(ExchangeError::TimedOut { client: false })));
    assert_eq!(start.elapsed(), WITHIN);
    // A client that owes the rest of its body is told apart.
    let (mut connection, _peer) = self::connection();
    let mut upload = Some(Box::new(Upload::new(Frames { ends: false, ..Frames::new(&["hel"], Some(5)) })));
    let answered = connection.exchange(POST, &mut upload, false, WITHIN).await;
    assert!(matches!(answered, Err(ExchangeError::TimedOut { client: true })));
}

#[tokio::test(start_paused = true)]
async fn a_body_must_be_as_long_as_its_head_says() {
    for (frames, length) in [(&["hel"][..], 5), (&["hello", "!"], 5), (&["hello!"], 5)] {
        let (connection, _peer) = connection();
        let (ending, ..) = run(connection, POST, Some(Frames::new(frames, Some(length)))).await;
        // Of a body that is too long, what was announced may have gone by then.
        let is_length = matches!(
            ending,
            Err(ExchangeError::Broken { error: BodyError::Upload(UploadError::Length), answered: false })
        );
        assert!(is_length || (frames.len() == 2 && matches!(ending, Err(ExchangeError::TimedOut { client: false }))));
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_follow_a_chunked_body_alone() {
    for (length, expected) in [(None, "3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), (Some(3), "abc")] {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let mut frames = Frames::new(&["abc"], length);
        frames.frames.push_back(Frame::trailers(trailers));
        let (connection, peer) = connection();
        let running = tokio::spawn(run(connection, POST, Some(frames)));
        settle().await;
        assert_eq!(peer.received(), [POST, expected.as_bytes()].concat());
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_taken_from_a_client_than_the_queue_holds() {
    let frame = Bytes::from(vec![b'x'; 1000]);
    let frames = Frames { frames: vec![frame; 1000].into_iter().map(Frame::data).collect(), ..Frames::new(&[], None) };
    let (mut connection, peer) = connection();
    peer.set_room(0);
    let mut upload = Some(Box::new(Upload::new(frames)));
    assert_eq!(upload.as_ref().unwrap().length(), Length::Chunked);
    {
        let mut exchange = std::pin::pin!(connection.exchange(POST, &mut upload, false, WITHIN));
        for _ in 0..3 {
            let polled = exchange.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            assert!(polled.is_pending());
        }
    }
    let taken = upload.as_ref().unwrap().frames;
    // 64 KiB of chunks of 1000 bytes and their framing, and the one that goes beyond.
    assert_eq!(taken, 66);
}
