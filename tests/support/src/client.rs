//! A client that sends exactly the bytes it is given.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use super::GUARD;
use super::head::Head;
use super::wire::{Body, Wire};

#[derive(Debug)]
pub struct Response {
    /// Heads of the 1xx responses before the final one.
    pub interim: Vec<Head>,
    pub head: Head,
    pub body: Body,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> String {
        self.body.text()
    }
}

pub fn connect(address: SocketAddr) -> Wire<TcpStream> {
    Wire::new(guarded(TcpStream::connect(address).expect("connect to the gateway")))
}

/// Connects from the given source address.
pub fn connect_from(source: IpAddr, address: SocketAddr) -> Wire<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("bind the source address");
    socket.connect(&address.into()).expect("connect to the gateway");
    Wire::new(guarded(socket.into()))
}

pub fn guarded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(GUARD)).expect("set a read timeout");
    stream.set_write_timeout(Some(GUARD)).expect("set a write timeout");
    stream.set_nodelay(true).expect("set TCP_NODELAY");
    stream
}

/// One exchange on a connection of its own.
pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    connect(address).exchange(request)
}

pub fn get(address: SocketAddr, target: &str) -> Response {
    exchange(address, request("GET", target, ""))
}

/// A request without a body; `fields` are complete lines, each with its CRLF.
pub fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n")
}

/// A POST of `body` with its length.
pub fn post(target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: app.example\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

impl<S: Read + Write> Wire<S> {
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Response {
        let method = request.as_ref().split(|&byte| byte == b' ').next().map(super::head::latin1);
        self.send(request).expect("send the request");
        self.response(&method.unwrap_or_default())
    }

    /// The final response to a request of this method, with the interim ones before it.
    pub fn response(&mut self, method: &str) -> Response {
        let (interim, head) = self.response_head();
        let framing = head.of_response(method).unwrap_or_else(|fault| panic!("{fault} in {head:?}"));
        let body = self.body(framing).expect("read the body");
        Response { interim, head, body }
    }

    pub fn response_head(&mut self) -> (Vec<Head>, Head) {
        let mut interim = Vec::new();
        loop {
            let head = self.head().expect("read a response head").expect("a response before the end");
            match head.status() {
                100 | 102..200 => interim.push(head),
                _ => return (interim, head),
            }
        }
    }

    /// Waits for the end of the connection; whether no further byte came.
    pub fn ended(&mut self) -> bool {
        self.rest().expect("read up to the end").is_empty()
    }
}
