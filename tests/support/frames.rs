//! HTTP/2 frames written by hand, for requests that no library lets through.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client::guarded;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;

/// What became of a stream.
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

pub struct Frames(TcpStream);

/// An HPACK literal that enters no table, without Huffman coding (RFC 7541, 6.2.2).
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
        let mut frames = Self(guarded(TcpStream::connect(address).expect("connect to the gateway")));
        frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("send the preface");
        frames.send(SETTINGS, 0, 0, &[]);
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).expect("send a frame");
    }

    fn receive(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }

    /// Sends one request on stream 1 and tells what comes of it.
    pub fn request(mut self, fields: &[(&[u8], &[u8])], body: Option<&[u8]>) -> Outcome {
        let mut block = Vec::new();
        for (name, value) in fields {
            literal(&mut block, name, value);
        }
        let end = if body.is_none() { END_STREAM } else { 0 };
        self.send(HEADERS, END_HEADERS | end, 1, &block);
        if let Some(body) = body {
            self.send(DATA, END_STREAM, 1, body);
        }
        self.outcome()
    }

    fn outcome(&mut self) -> Outcome {
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
}

/// A response's block begins with `:status`, indexed where the static table has it (RFC 7541, A).
fn status(block: &[u8]) -> Outcome {
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    match first.map(|byte| byte.wrapping_sub(0x88)) {
        Some(index @ 0..=6) => Outcome::Status([200, 204, 206, 304, 400, 404, 500][usize::from(index)]),
        _ => Outcome::OtherStatus,
    }
}
