//! The bytes of one connection: requests in, and a reset where one is asked for.

use std::io::{self, ErrorKind};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What the instance needs to know of a request, whose body has been read.
pub struct Request {
    pub method: String,
    pub path: String,
    /// The application's own cookie.
    pub session: Option<String>,
    /// Of a WebSocket's handshake.
    pub socket_key: Option<String>,
}

pub struct Wire {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The next request, or `None` at the end.
    pub async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some((request, head, body)) = parse(&self.unread)? {
                self.unread.drain(..head);
                while self.unread.len() < body {
                    self.fill().await?;
                }
                self.unread.drain(..body);
                return Ok(Some(request));
            }
            match self.fill().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.unread.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Ends the connection with a RST.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }
}

/// The first request, the length of its head and of its body.
fn parse(bytes: &[u8]) -> io::Result<Option<(Request, usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut fields);
    let wrong = |what: String| io::Error::new(ErrorKind::InvalidData, what);
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(|error| wrong(error.to_string()))? else {
        return Ok(None);
    };
    let field = |name: &str| {
        let values = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        values.map(|field| String::from_utf8_lossy(field.value).into_owned()).collect::<Vec<_>>()
    };
    let body = field("content-length").first().map_or(Ok(0), |length| length.parse());
    let cookies = field("cookie").join("; ");
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: head.path.unwrap_or_default().to_owned(),
        session: cookies.split("; ").find_map(|cookie| cookie.strip_prefix("app=")).map(str::to_owned),
        socket_key: field("sec-websocket-key").pop(),
    };
    Ok(Some((request, length, body.map_err(|_| wrong("content-length".to_owned()))?)))
}
