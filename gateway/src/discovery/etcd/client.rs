//! Calls of etcd's JSON interface.

use super::lines::JsonLines;
use super::message::{GrpcStatus, TokenResponse, TxnResponse};
use super::tls;
use http::{Request, Response, StatusCode, Uri, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(2);
/// For a whole answer; a prefix full of sketches has megabytes.
const ANSWER: Duration = Duration::from_secs(10);

/// Changes in one transaction; etcd takes up to 128 unless it was told otherwise.
pub(super) const AT_ONCE: usize = 100;

/// gRPC's numbers for errors.
const NOT_FOUND: u32 = 5;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

/// Where etcd is, and how to be let in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EtcdSettings {
    /// Its members, such as `http://127.0.0.1:2379` or `https://etcd-1:2379`.
    pub endpoints: Vec<String>,
    /// The certificates, PEM, of who signs etcd's; needed for `https`.
    pub ca: Option<PathBuf>,
    /// Our own certificate, PEM, with `key`.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// The user to log in as, with the password's file.
    pub user: Option<(String, PathBuf)>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdSettingsError {
    /// There is no endpoint.
    #[error("there is no endpoint; name at least one member of etcd, such as \"http://127.0.0.1:2379\"")]
    NoEndpoint,
    /// An endpoint that is none.
    #[error("{endpoint:?} is no endpoint; write it as \"http://127.0.0.1:2379\" or \"https://etcd-1:2379\"")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
    },
    /// `https`, and nobody to believe.
    #[error("an endpoint with https needs ca, the certificates of who signs etcd's")]
    NoAuthority,
    /// A certificate without its key, or the other way round.
    #[error("certificate and key belong together; name both or none")]
    HalfPair,
    /// A file is missing or is not what it should be.
    #[error("{}: {message}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// Why a call came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// No member answered, or none that is part of a cluster.
    #[error("etcd is not there: {0}")]
    Unreachable(String),
    /// It answered that it will not.
    #[error("etcd refuses: {message}")]
    Refused {
        /// gRPC's number.
        code: u32,
        /// What it says.
        message: String,
    },
}

impl EtcdError {
    pub(super) fn unexpected(what: &str) -> Self {
        Self::Unreachable(format!("its answer makes no sense: {what}"))
    }

    /// Whether it does not know a lease, say, any more.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: NOT_FOUND, .. })
    }
}

/// Calls etcd. Cheap to clone.
#[derive(Clone)]
pub struct EtcdClient {
    shared: Arc<ClientShared>,
}

struct ClientShared {
    endpoints: Vec<Endpoint>,
    /// The one that answered last.
    preferred: AtomicUsize,
    tls: Option<TlsConnector>,
    user: Option<Credentials>,
    token: Mutex<Option<String>>,
}

struct Endpoint {
    /// As it was given.
    text: String,
    is_tls: bool,
    host: String,
    port: u16,
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
    /// With these settings. Reads their files; etcd need not be there.
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

    /// Calls `path`, and reads the answer whole.
    pub(super) async fn call<T: DeserializeOwned>(&self, path: &str, request: &Value) -> Result<T, EtcdError> {
        parse(self.request(path, request).await?).await
    }

    /// Calls `path`, and reads answers as they come.
    pub(super) async fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &Value,
    ) -> Result<JsonLines<T>, EtcdError> {
        Ok(JsonLines::new(self.request(path, request).await?.into_body()))
    }

    /// Makes up to [`AT_ONCE`] changes, all or none. The revision that they have.
    pub(super) async fn change(&self, parts: &[Value]) -> Result<i64, EtcdError> {
        let answer: TxnResponse = self.call("/v3/kv/txn", &json!({"success": parts})).await?;
        Ok(answer.header.revision.0)
    }

    /// Logs in first where that is asked for, and once more where the token has run out.
    async fn request(&self, path: &str, request: &Value) -> Result<Response<Incoming>, EtcdError> {
        let Some(user) = &self.shared.user else { return self.anywhere(path, request).await };
        if self.shared.token.lock().is_none() {
            self.log_in(user).await?;
        }
        match self.anywhere(path, request).await {
            Err(EtcdError::Refused { code: UNAUTHENTICATED, .. }) => {
                self.log_in(user).await?;
                self.anywhere(path, request).await
            }
            answer => answer,
        }
    }

    async fn log_in(&self, user: &Credentials) -> Result<(), EtcdError> {
        *self.shared.token.lock() = None;
        let request = json!({"name": user.name, "password": user.password});
        let TokenResponse { token } = parse(self.anywhere("/v3/auth/authenticate", &request).await?).await?;
        *self.shared.token.lock() = Some(token);
        Ok(())
    }

    /// Asks the members one after the other, beginning with the one that answered last.
    async fn anywhere(&self, path: &str, request: &Value) -> Result<Response<Incoming>, EtcdError> {
        let ClientShared { endpoints, preferred, .. } = &*self.shared;
        let first = preferred.load(Ordering::Relaxed);
        let mut last = EtcdError::Unreachable("no member was asked".to_owned());
        for turn in 0..endpoints.len() {
            let index = (first + turn) % endpoints.len();
            let answer = timeout(ANSWER, self.exchange(&endpoints[index], path, request)).await;
            match answer.unwrap_or_else(|_| Err(late())) {
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
        let stream = timeout(CONNECT, connect).await.map_err(|_| failed(&"no connection in time"))?;
        let stream = stream.map_err(|error| failed(&error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
        // Ends with the answer's body, or where nobody waits for it any more.
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
            _ => Err(failed(&format!("{status} where etcd's JSON interface should be"))),
        }
    }
}

pub(super) fn late() -> EtcdError {
    EtcdError::Unreachable("no answer in time".to_owned())
}

trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// Whether this may be one of [`EtcdSettings::endpoints`].
#[must_use]
pub fn is_endpoint(text: &str) -> bool {
    endpoint(text).is_ok()
}

fn endpoint(text: &str) -> Result<Endpoint, EtcdSettingsError> {
    let wrong = || EtcdSettingsError::Endpoint { endpoint: text.to_owned() };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong()),
    };
    let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong());
    }
    Ok(Endpoint { text: text.to_owned(), is_tls, host, port: uri.port_u16().unwrap_or(2379) })
}

async fn parse<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, EtcdError> {
    let body = timeout(ANSWER, read(response.into_body())).await.map_err(|_| late())??;
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
