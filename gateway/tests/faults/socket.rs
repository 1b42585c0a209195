//! A user with a WebSocket: sends over it, and reconnects when it is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::record;
use crate::session::Session;

/// How often it says something.
const WORD: Duration = Duration::from_millis(100);

/// How a socket ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// By us, at the end of the test.
    Stopped,
    /// By a closing handshake, with its code.
    Closed(Option<u16>),
    /// Without one.
    Broken(String),
}

/// The life of one socket, in microseconds since the Unix epoch.
#[derive(Debug)]
pub struct Stay {
    pub instance: String,
    /// When it was asked for, when it was open, and when it ended.
    pub asked: u64,
    pub opened: u64,
    pub until: u64,
    pub end: End,
}

/// Opens a socket, and another one as long as it is closed, until told to stop.
pub async fn keep_open(front: SocketAddr, number: u32, stop: Arc<AtomicBool>) -> Vec<Stay> {
    let (mut session, mut stays) = (Session::new(number), Vec::new());
    while !stop.load(Ordering::SeqCst) {
        let asked = record::now();
        let (socket, instance) = open(&mut session, front, stays.len()).await.expect("open a WebSocket");
        let opened = record::now();
        let end = talk(socket, &stop).await;
        stays.push(Stay { instance, asked, opened, until: record::now(), end });
    }
    stays
}

async fn open(
    session: &mut Session,
    front: SocketAddr,
    turn: usize,
) -> Result<(WebSocketStream<TcpStream>, String), Error> {
    let stream = TcpStream::connect(front).await?;
    let mut request = format!("ws://{front}/socket/{}/{turn}", session.number).into_client_request()?;
    if let Ok(cookies) = session.cookies().parse() {
        request.headers_mut().insert("cookie", cookies);
    }
    let (socket, response) = client_async(request, stream).await?;
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    response.headers().get_all("set-cookie").iter().for_each(|field| session.keep(&text(field)));
    Ok((socket, response.headers().get("x-instance").map(text).unwrap_or_default()))
}

/// Sends a message now and then, which must be echoed.
async fn talk(mut socket: WebSocketStream<TcpStream>, stop: &AtomicBool) -> End {
    for word in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            return End::Stopped;
        }
        let said = Message::text(word.to_string());
        if let Err(error) = socket.send(said.clone()).await
            && !matches!(error, Error::ConnectionClosed)
        {
            // The peer's last message may still be unread.
            return end(&mut socket).await.unwrap_or(End::Broken(error.to_string()));
        }
        match socket.next().await {
            Some(Ok(message)) if message == said => sleep(WORD).await,
            Some(Ok(Message::Close(frame))) => return End::Closed(frame.map(|frame| frame.code.into())),
            Some(Ok(other)) => return End::Broken(format!("{other:?} in place of {said:?}")),
            Some(Err(error)) => return End::Broken(error.to_string()),
            None => return End::Broken("an end without a word".to_owned()),
        }
    }
    End::Stopped
}

/// The close that stands before a broken connection, if one does.
async fn end(socket: &mut WebSocketStream<TcpStream>) -> Option<End> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            return Some(End::Closed(frame.map(|frame| frame.code.into())));
        }
    }
    None
}
