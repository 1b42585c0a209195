//! One side of an HTTP/1.1 connection, read and written byte for byte.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use super::head::{Framing, Head, field, latin1};

pub struct Wire<S> {
    reader: BufReader<S>,
}

/// A body, and whether it is complete by its framing.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub data: Vec<u8>,
    pub length: u64,
    pub whole: bool,
    /// The chunk-size lines, with extensions, unchanged.
    pub chunks: Vec<String>,
    pub trailers: Vec<(String, String)>,
}

impl Body {
    pub fn text(&self) -> String {
        latin1(&self.data)
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1.as_str())
    }
}

impl<S: Read + Write> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, stream) }
    }

    pub fn stream(&self) -> &S {
        self.reader.get_ref()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())?;
        self.reader.get_mut().flush()
    }

    /// The next head, or `None` if the peer has closed between messages.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            self.reader.read_until(b'\n', &mut head)?;
            match &head[before..] {
                [] if head.is_empty() => return Ok(None),
                [.., b'\n'] if head[before..] == *b"\r\n" => return Ok(Some(Head::new(head))),
                [.., b'\n'] => {}
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// The body as `framing` delimits it.
    pub fn body(&mut self, framing: Framing) -> io::Result<Body> {
        let mut data = Vec::new();
        let body = self.body_into(framing, &mut |piece| data.extend_from_slice(piece))?;
        Ok(Body { data, ..body })
    }

    /// As [`Wire::body`], but passes the data on in pieces instead of buffering it.
    pub fn body_into(&mut self, framing: Framing, sink: &mut dyn FnMut(&[u8])) -> io::Result<Body> {
        let mut body = Body::default();
        let read = match framing {
            Framing::Absent => Ok(()),
            Framing::Length(length) => self.exactly(length, &mut body, sink),
            Framing::Chunked => self.chunked(&mut body, sink),
            Framing::UntilClose => self.until_close(&mut body, sink),
        };
        match read {
            Ok(()) => body.whole = true,
            Err(error) if cut_short(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(body)
    }

    /// Everything up to the end of the connection, including an end by a reset.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.body(Framing::UntilClose).map(|body| body.data)
    }

    fn exactly(&mut self, length: u64, body: &mut Body, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let ready = self.reader.fill_buf()?;
            if ready.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let taken = usize::try_from(left).map_or(ready.len(), |left| left.min(ready.len()));
            sink(&ready[..taken]);
            self.reader.consume(taken);
            left -= taken as u64;
            body.length += taken as u64;
        }
        Ok(())
    }

    fn until_close(&mut self, body: &mut Body, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let ready = self.reader.fill_buf()?;
            if ready.is_empty() {
                return Ok(());
            }
            let taken = ready.len();
            sink(ready);
            self.reader.consume(taken);
            body.length += taken as u64;
        }
    }

    fn chunked(&mut self, body: &mut Body, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).map_err(|_| invalid(format!("chunk size {line:?}")))?;
            body.chunks.push(line);
            if size == 0 {
                break;
            }
            self.exactly(size, body, sink)?;
            let end = self.line()?;
            if !end.is_empty() {
                return Err(invalid(format!("{end:?} after a chunk")));
            }
        }
        loop {
            match self.line()? {
                line if line.is_empty() => return Ok(()),
                line => body.trailers.push(field(&line)),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let line = line.strip_suffix(b"\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        Ok(latin1(line))
    }
}

fn cut_short(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Tunnels read and write raw bytes, those already buffered first.
impl<S: Read> Read for Wire<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into)
    }
}

impl<S: Write> Write for Wire<S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.reader.get_mut().write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.reader.get_mut().flush()
    }
}
