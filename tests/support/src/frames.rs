//! HTTP/2 frames written by hand, for input that no client library sends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client::guarded;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// A field by its name and value.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// The outcome of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response whose status is one of HPACK's static table: 200, 204, 206, 304, 400, 404, 500.
    Status(u16),
    /// A response with another status.
    OtherStatus,
    Reset,
    Ended,
}

impl Outcome {
    pub fn refused(&self) -> bool {
        !matches!(self, Self::Status(200..400))
    }
}

/// A connection with one request, on stream 1.
pub struct Frames(TcpStream);

/// An HPACK literal without indexing and without Huffman coding (RFC 7541, 6.2.2).
fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 0x7f, "longer texts need another prefix");
        block.push(length);
        block.extend_from_slice(text);
    }
}

impl Frames {
    pub fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[])
    }

    /// Connects with an initial window of zero, so that no byte of a response body may be sent.
    pub fn connect_without_window(address: SocketAddr) -> Self {
        let mut setting = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        setting.extend_from_slice(&0_u32.to_be_bytes());
        Self::with_settings(address, &setting)
    }

    fn with_settings(address: SocketAddr, settings: &[u8]) -> Self {
        let mut frames = Self(guarded(TcpStream::connect(address).expect("connect to the gateway")));
        frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("send the preface");
        frames.send(SETTINGS, 0, 0, settings);
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.try_send(kind, flags, stream, payload).expect("send a frame");
    }

    fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame)
    }

    /// The next frame, or `None` where the gateway has ended the connection.
    fn receive(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut header = [0; 9];
        self.fill(&mut header)?;
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.fill(&mut payload)?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }

    fn fill(&mut self, into: &mut [u8]) -> Option<()> {
        match self.0.read_exact(into) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither a frame nor the end")
            }
            Err(_) => None,
        }
    }

    /// Sends one request and returns its outcome.
    pub fn request(mut self, fields: &[Field], body: Option<&[u8]>) -> Outcome {
        self.begin(fields, body.is_none());
        if let Some(body) = body {
            self.data(body, true);
        }
        self.outcome()
    }

    /// Sends the head of the request; with `end` the request has no body.
    pub fn begin(&mut self, fields: &[Field], end: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            literal(&mut block, name, value);
        }
        self.send(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, 1, &block);
    }

    /// Sends a piece of the body.
    pub fn data(&mut self, data: &[u8], end: bool) {
        self.send(DATA, if end { END_STREAM } else { 0 }, 1, data);
    }

    /// Resets the stream with NO_ERROR.
    pub fn reset_without_error(&mut self) {
        self.send(RST_STREAM, 0, 1, &0_u32.to_be_bytes());
    }

    /// Waits for the outcome of the request.
    pub fn outcome(&mut self) -> Outcome {
        loop {
            match self.receive() {
                None | Some((GOAWAY, ..)) => return Outcome::Ended,
                Some((RST_STREAM, _, 1, _)) => return Outcome::Reset,
                Some((HEADERS, _, 1, block)) => return status(&block),
                Some((SETTINGS, flags, ..)) if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
                Some(_) => {}
            }
        }
    }

    /// Sends a PING and acknowledges the peer's until its own is acknowledged; false if the connection has ended.
    pub fn ping(&mut self) -> bool {
        if self.try_send(PING, 0, 0, b"question").is_err() {
            return false;
        }
        loop {
            let answered = match self.receive() {
                None => return false,
                Some((PING, ACK, _, payload)) if payload == b"question" => return true,
                Some((PING, 0, _, payload)) => self.try_send(PING, ACK, 0, &payload),
                Some((SETTINGS, 0, ..)) => self.try_send(SETTINGS, ACK, 0, &[]),
                Some(_) => Ok(()),
            };
            if answered.is_err() {
                return false;
            }
        }
    }

    /// Waits, and sends nothing, until the gateway ends the connection.
    pub fn await_end(&mut self) {
        while self.receive().is_some() {}
    }
}

/// The field block of a response begins with `:status`, indexed if the static table has it (RFC 7541, appendix A).
fn status(block: &[u8]) -> Outcome {
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    match first.map(|byte| byte.wrapping_sub(0x88)) {
        Some(index @ 0..=6) => Outcome::Status([200, 204, 206, 304, 400, 404, 500][usize::from(index)]),
        _ => Outcome::OtherStatus,
    }
}
