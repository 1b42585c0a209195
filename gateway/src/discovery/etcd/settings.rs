//! Where etcd is, and how a client authenticates.

use http::Uri;
use std::path::PathBuf;

/// Where etcd is, and how a client authenticates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EtcdSettings {
    /// Its members, such as `http://127.0.0.1:2379` or `https://etcd-1:2379`.
    pub endpoints: Vec<String>,
    /// The certificate authorities, PEM, that sign etcd's certificate; needed for `https`.
    pub ca: Option<PathBuf>,
    /// The client certificate, PEM, with `key`.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// The user to log in as, with the password's file.
    pub user: Option<(String, PathBuf)>,
}

/// Why no client can be made of some settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdSettingsError {
    /// There is no endpoint.
    #[error("there is no endpoint; name at least one member of etcd, such as \"http://127.0.0.1:2379\"")]
    NoEndpoint,
    /// Not an endpoint.
    #[error("{endpoint:?} is not an endpoint; write it as \"http://127.0.0.1:2379\" or \"https://etcd-1:2379\"")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
    },
    /// `https` without a certificate authority.
    #[error("an endpoint with https needs ca, the certificate authorities that sign etcd's certificate")]
    NoAuthority,
    /// A certificate without its key, or the other way round.
    #[error("certificate and key belong together; name both or none")]
    HalfPair,
    /// A file is missing or wrong.
    #[error("{}: {message}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// One member of etcd.
pub(super) struct Endpoint {
    /// As configured.
    pub(super) text: String,
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Whether `text` can be one of [`EtcdSettings::endpoints`].
#[must_use]
pub fn is_endpoint(text: &str) -> bool {
    endpoint(text).is_ok()
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, EtcdSettingsError> {
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
