//! A client of etcd's JSON interface. One call is one connection.

use super::error::{EtcdError, UNAUTHENTICATED, UNAVAILABLE};
use super::json_lines::JsonLines;
use super::message::{GrpcStatus, TokenResponse, TxnResponse};
use super::settings::{Endpoint, EtcdSettings, EtcdSettingsError, endpoint};
use super::tls;
use http::{Request, Response, StatusCode, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a whole response may take; a prefix full of sketches has megabytes.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Operations in one transaction; etcd takes up to 128 (`--max-txn-ops`).
pub(super) const MAX_OPERATIONS: usize = 100;

/// Calls etcd. Cheap to clone.
#[derive(Clone)]
pub struct EtcdClient {
    shared: Arc<ClientShared>,
}

struct ClientShared {
    endpoints: Vec<Endpoint>,
    /// The index of the one that responded last.
    preferred: AtomicUsize,
    tls: Option<TlsConnector>,
    user: Option<Credentials>,
    token: Mutex<Option<String>>,
}

struct Credentials {
    name: String,
    password: String,
}

impl fmt::Debug for EtcdClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<_> = self.shared.endpoints.iter().map(|endpoint| &endpoint.text).collect();
        f.debug_struct("Client").field("endpoints", &endpoints).finish_non_exhaustive()
    }
}

impl EtcdClient {
    /// A client with these settings. Reads the files that they name, and connects to nothing yet.
    ///
    /// # Errors
    /// [`EtcdSettingsError`].
    pub fn new(settings: &EtcdSettings) -> Result<Self, EtcdSettingsError> {
        let endpoints: Vec<_> = settings.endpoints.iter().map(|text| endpoint(text)).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(EtcdSettingsError::NoEndpoint);
        }
        let is_tls = endpoints.iter().any(|endpoint| endpoint.is_tls);
        let tls = is_tls.then(|| tls::connector(settings)).transpose()?;
        let user = settings.user.as_ref().map(|(name, file)| {
            let read = std::fs::read_to_string(file);
            let wrong =
                |error: std::io::Error| EtcdSettingsError::File { file: file.clone(), message: error.to_string() };
            let password = read.map_err(wrong)?.trim_end_matches(['\r', '\n']).to_owned();
            Ok(Credentials { name: name.clone(), password })
        });
        let user = user.transpose()?;
        let (preferred, token) = (AtomicUsize::new(0), Mutex::new(None));
        Ok(Self { shared: Arc::new(ClientShared { endpoints, preferred, tls, user, token }) })
    }

    /// The members, for messages.
    pub(super) fn endpoints(&self) -> String {
        let texts: Vec<_> = self.shared.endpoints.iter().map(|endpoint| &*endpoint.text).collect();
        format!("etcd at {}", texts.join(", "))
    }

    /// Calls `path`, and reads the response whole.
    pub(super) async fn call<T: DeserializeOwned>(&self, path: &str, request: &Value) -> Result<T, EtcdError> {
        parse(self.request(path, request).await?).await
    }

    /// Calls `path`, and reads responses as they arrive.
    pub(super) async fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &Value,
    ) -> Result<JsonLines<T>, EtcdError> {
        Ok(JsonLines::new(self.request(path, request).await?.into_body()))
    }

    /// Makes up to [`MAX_OPERATIONS`] operations, all or none. Returns their revision.
    pub(super) async fn change(&self, parts: &[Value]) -> Result<i64, EtcdError> {
        let answer: TxnResponse = self.call("/v3/kv/txn", &json!({"success": parts})).await?;
        Ok(answer.header.revision.0)
    }

    /// Sends a request, logging in first where a user is configured, and again where the token has expired.
    async fn request(&self, path: &str, request: &Value) -> Result<Response<Incoming>, EtcdError> {
        let Some(user) = &self.shared.user else { return self.any_member(path, request).await };
        if self.shared.token.lock().is_none() {
            self.log_in(user).await?;
        }
        match self.any_member(path, request).await {
            Err(EtcdError::Refused { code: UNAUTHENTICATED, .. }) => {
                self.log_in(user).await?;
                self.any_member(path, request).await
            }
            answer => answer,
        }
    }

    async fn log_in(&self, user: &Credentials) -> Result<(), EtcdError> {
        *self.shared.token.lock() = None;
        let request = json!({"name": user.name, "password": user.password});
        let TokenResponse { token } = parse(self.any_member("/v3/auth/authenticate", &request).await?).await?;
        *self.shared.token.lock() = Some(token);
        Ok(())
    }

    /// Tries the members one after another, beginning with the one that responded last.
    async fn any_member(&self, path: &str, request: &Value) -> Result<Response<Incoming>, EtcdError> {
        let ClientShared { endpoints, preferred, .. } = &*self.shared;
        let first = preferred.load(Ordering::Relaxed);
        let mut last = EtcdError::Unreachable("no member was tried".to_owned());
        for turn in 0..endpoints.len() {
            let index = (first + turn) % endpoints.len();
            let answer = timeout(RESPONSE_TIMEOUT, self.exchange(&endpoints[index], path, request)).await;
            match answer.unwrap_or_else(|_| Err(EtcdError::timeout())) {
                Err(error @ EtcdError::Unreachable(_)) => last = error,
                answer => {
                    preferred.store(index, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(last)
    }

    async fn exchange(&self, at: &Endpoint, path: &str, request: &Value) -> Result<Response<Incoming>, EtcdError> {
        let connect = async {
            let stream = TcpStream::connect((&*at.host, at.port)).await?;
            stream.set_nodelay(true)?;
            let tls = self.shared.tls.as_ref().filter(|_| at.is_tls);
            let stream: Box<dyn IoStream> = match tls {
                None => Box::new(stream),
                Some(tls) => {
                    let name = ServerName::try_from(at.host.clone()).map_err(std::io::Error::other)?;
                    Box::new(tls.connect(name, stream).await?)
                }
            };
            Ok::<_, std::io::Error>(stream)
        };
        let failed = |error: &dyn fmt::Display| EtcdError::Unreachable(format!("{}: {error}", at.text));
        let stream = timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| failed(&"no connection within 2 s"))?;
        let stream = stream.map_err(|error| failed(&error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
        // Ends with the body of the response, or when the response is dropped.
        tokio::spawn(connection);
        let mut head = Request::post(path).header(header::HOST, format!("{}:{}", at.host, at.port));
        if let Some(token) = &*self.shared.token.lock() {
            head = head.header(header::AUTHORIZATION, token);
        }
        let request = head.body(request.to_string()).map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = read(response.into_body()).await?;
        match serde_json::from_slice(&body) {
            Ok(GrpcStatus { code: UNAVAILABLE, message }) => Err(failed(&message)),
            Ok(GrpcStatus { code, message }) if code != 0 => Err(EtcdError::Refused { code, message }),
            _ => Err(failed(&format!(
                "{status} in place of etcd's JSON interface: is this etcd, and its gRPC gateway on?"
            ))),
        }
    }
}

trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

async fn parse<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, EtcdError> {
    let body = timeout(RESPONSE_TIMEOUT, read(response.into_body())).await.map_err(|_| EtcdError::timeout())??;
    serde_json::from_slice(&body).map_err(|error| EtcdError::unexpected(&error.to_string()))
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, EtcdError> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| EtcdError::Unreachable(error.to_string()))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}
