//! TLS towards clients, by rustls: HTTP/2 by ALPN, HTTP/1.1 otherwise.

use crate::config;
use homing::proxy::Protocol;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is no PEM file of its kind.
    #[error("{}: cannot read the {what}: {message}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Certificate and key do not belong together.
    #[error("{}: {source}; does the key belong to the first certificate of the file?", file.display())]
    Pair {
        /// The certificate file.
        file: PathBuf,
        /// What rustls reported.
        source: rustls::Error,
    },
}

/// Accepts TLS connections. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
    handshake: Duration,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor(..)")
    }
}

impl Acceptor {
    /// Reads certificate chain and private key, both PEM. A handshake may take `handshake`.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that is wrong.
    pub fn load(tls: &config::TlsConfig, handshake: Duration) -> Result<Self, TlsError> {
        let wrong = |file: &Path, what| {
            let file = file.to_owned();
            move |error: rustls::pki_types::pem::Error| TlsError::File { file, what, message: error.to_string() }
        };
        let chain = CertificateDer::pem_file_iter(&tls.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(wrong(&tls.certificate, "certificate"))?;
        let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(wrong(&tls.key, "private key"))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|source| TlsError::Pair { file: tls.certificate.clone(), source })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), handshake })
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
        let stream = tokio::time::timeout(self.handshake, self.acceptor.accept(stream)).await??;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::TlsHttp2,
            _ => Protocol::TlsHttp1,
        };
        Ok((stream, protocol))
    }
}
