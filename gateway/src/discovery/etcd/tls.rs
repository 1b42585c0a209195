//! TLS to etcd.

use super::settings::{EtcdSettings, EtcdSettingsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Verifies by the certificate authority of `settings`, and authenticates with its certificate, if any.
pub(super) fn connector(settings: &EtcdSettings) -> Result<TlsConnector, EtcdSettingsError> {
    let Some(ca) = &settings.ca else { return Err(EtcdSettingsError::NoAuthority) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| wrong(ca, error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(ca, error))?
        .with_root_certificates(roots);
    let config = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| wrong(certificate, error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(EtcdSettingsError::HalfPair),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, EtcdSettingsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(wrong(file, "it has no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(wrong(file, error)),
    }
}

fn wrong(file: &Path, error: impl Display) -> EtcdSettingsError {
    EtcdSettingsError::File { file: file.to_owned(), message: error.to_string() }
}
