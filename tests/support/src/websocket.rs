//! WebSockets on both sides of the gateway: client and upstream.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::client::{connect, request};
use super::head::Head;
use super::upstream::{Exchange, Logged, Next};
use super::wire::Wire;

/// The sample key of RFC 6455, 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The fields of a WebSocket handshake request.
pub fn fields() -> String {
    format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n")
}

/// The response that accepts the handshake.
pub fn grant(request: &Head) -> String {
    let key = request.one("sec-websocket-key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let status = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket";
    format!("{status}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
}

/// Opens a WebSocket through the gateway; returns it with the head of the 101 response.
pub fn open(address: SocketAddr, more: &str) -> (WebSocket<Wire<TcpStream>>, Head) {
    let mut wire = connect(address);
    wire.send(request("GET", "/socket", &format!("{}{more}", fields()))).expect("ask for a WebSocket");
    let head = wire.head().expect("read a head").expect("a response");
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(head.one("sec-websocket-accept"), Some(derive_accept_key(KEY.as_bytes())));
    (WebSocket::from_raw_socket(wire, Role::Client, None), head)
}

/// A second handle of an open WebSocket, for writing only.
pub fn writer(websocket: &WebSocket<Wire<TcpStream>>) -> WebSocket<TcpStream> {
    let stream = websocket.get_ref().stream().try_clone().expect("clone a socket");
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

/// Accepts the handshake and runs `talk` on the upstream's side.
pub fn serve(
    exchange: &mut Exchange,
    talk: impl FnOnce(&mut WebSocket<&mut Wire<Logged>>) -> Result<(), tungstenite::Error>,
) -> io::Result<Next> {
    exchange.body()?;
    exchange.send(grant(&exchange.head))?;
    talk(&mut WebSocket::from_raw_socket(&mut exchange.wire, Role::Server, None)).map_err(io::Error::other)?;
    exchange.wire.flush()?;
    Ok(Next::Close)
}

/// Echoes every message, until the closing handshake is over.
pub fn echo(exchange: &mut Exchange) -> io::Result<Next> {
    serve(exchange, |websocket| {
        loop {
            match websocket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => websocket.send(message)?,
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    })
}
