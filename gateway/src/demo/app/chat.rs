//! The WebSocket: a chat with the instance itself.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::instance::Instance;

/// Shorter than the idle timeouts that proxies usually have, so a silent chat stays open.
const PING_EVERY: Duration = Duration::from_secs(25);

/// Greets, then sends each text back with the instance's name and the session's visits, until either side closes.
pub(super) async fn serve(upgraded: Upgraded, instance: &Instance, session: Option<&str>) -> Result<(), Error> {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    socket.send(message(instance, session, None)).await?;
    loop {
        let received = tokio::select! {
            received = socket.next() => received,
            _ = pings.tick() => {
                socket.send(Message::Ping(Default::default())).await?;
                continue;
            }
        };
        match received.transpose()? {
            Some(Message::Text(text)) => socket.send(message(instance, session, Some(&text))).await?,
            Some(Message::Binary(_)) => {
                let frame = CloseFrame { code: CloseCode::Unsupported, reason: "this chat is text".into() };
                socket.close(Some(frame)).await?;
            }
            // The protocol's own frames are answered by tungstenite while it reads.
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

fn message(instance: &Instance, session: Option<&str>, text: Option<&Utf8Bytes>) -> Message {
    let facts = json!({
        "instance": instance.name(),
        "incarnation": instance.incarnation(),
        "visits": instance.sessions().visits(session),
        "text": text.map(Utf8Bytes::as_str),
    });
    Message::text(facts.to_string())
}
