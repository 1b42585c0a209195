//! One accepted connection, from its first byte to its close.

use super::watchdog::{ConnectionKind, End, Watchdog};
use super::{http1, http2};
use crate::proxy::exchange::client::Client;
use bytes::Bytes;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// For how long a client whose request came too slowly is given the time to read the reply.
const MAX_FAREWELL: Duration = Duration::from_secs(3);

/// The protocol of a connection, as far as it is known before its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1, or HTTP/2 by prior knowledge: the first bytes decide.
    Clear,
    /// TLS, with HTTP/1.1 by ALPN or without ALPN.
    TlsHttp1,
    /// TLS, with `h2` by ALPN.
    TlsHttp2,
}

/// Serves a connection to its end. When `ending` completes, it accepts no further request, or one more for as long as
/// `ending` says.
pub(crate) async fn serve_until<T>(
    client: Arc<Client>,
    stream: T,
    protocol: Protocol,
    ending: impl Future<Output = Duration>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ending = pin!(ending);
    let mut watchdog = Watchdog::new(&client.activity, client.settings.timeouts, ending);
    let served = match protocol {
        Protocol::TlsHttp2 => http2::serve(&mut watchdog, &client, stream, Bytes::new()).await,
        Protocol::Clear | Protocol::TlsHttp1 => {
            let may_be_http2 = protocol == Protocol::Clear;
            let mut connection = pin!(http1::serve(stream, Arc::clone(&client), may_be_http2));
            match watchdog.run(connection.as_mut(), ConnectionKind::Http1, |_| client.activity.stop()).await {
                Ok(Some((stream, read))) => http2::serve(&mut watchdog, &client, stream, read).await,
                Ok(None) => Ok(()),
                Err(End::Header) => {
                    client.activity.note_late();
                    // A client that does not read the reply in this time does not get it.
                    let _ = tokio::time::timeout(MAX_FAREWELL, connection).await;
                    Err(End::Header)
                }
                Err(end) => Err(end),
            }
        }
    };
    let peer = client.peer();
    match served {
        Ok(()) => {}
        Err(End::Broken(error)) => tracing::debug!(%peer, %error, "connection ended"),
        Err(End::Header) => tracing::debug!(%peer, "no request head in time"),
        Err(End::Stalled) => tracing::debug!(%peer, "client accepted no data for the idle timeout"),
    }
}
