//! A certificate made for the test, and clients that trust only it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::guarded;
use super::wire::Wire;

pub const NAME: &str = "app.example";

pub struct Certificate {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("make a certificate");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
    }

    /// Writes its files into `directory`; returns the configuration table that names them.
    pub fn table(&self, directory: &Path) -> String {
        fs::write(directory.join("tls.crt"), &self.certificate).expect("write the certificate");
        fs::write(directory.join("tls.key"), &self.key).expect("write its key");
        let file = |name| directory.join(name).to_str().expect("a path in UTF-8").to_owned();
        format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", file("tls.crt"), file("tls.key"))
    }

    /// A TLS client that trusts it and offers these ALPN protocols.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("trust the certificate");
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Connects over TLS; the plaintext is sent and received byte for byte.
    pub fn connect(&self, address: SocketAddr, protocols: &[&str]) -> Wire<StreamOwned<ClientConnection, TcpStream>> {
        let stream = guarded(TcpStream::connect(address).expect("connect to the gateway"));
        let name = ServerName::try_from(NAME).expect("a server name");
        let connection = ClientConnection::new(self.client(protocols), name).expect("a TLS client");
        Wire::new(StreamOwned::new(connection, stream))
    }
}
