//! Certificates and keys from files, for listeners and exporters.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::config::{ExporterConfig, ServerTls};

/// Why TLS could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or holds nothing of its kind.
    #[error("{key}: {path}: {cause}")]
    File {
        /// The setting that names the file, such as `tls.cert_file`.
        key: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The parts do not make a configuration.
    #[error("{key}: {cause}")]
    Parts {
        /// The setting to look at.
        key: &'static str,
        /// What is wrong.
        cause: String,
    },
}

/// A listener's TLS, offering HTTP/2 and HTTP/1.1.
///
/// # Errors
/// [`TlsError`] naming the setting and the file.
pub fn server_config(tls: &ServerTls) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[_] = if tls.only_tls13 { &[&TLS13] } else { &[&TLS12, &TLS13] };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|cause| parts("tls.min_version", &cause))?;
    let builder = match &tls.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots("tls.client_ca_file", path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|cause| parts("tls.client_ca_file", &cause))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates("tls.cert_file", &tls.cert_file)?;
    let key = private_key("tls.key_file", &tls.key_file)?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|cause| parts("tls.cert_file and tls.key_file", &cause))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// An exporter's TLS. The protocol list is left empty: the connector sets it.
///
/// # Errors
/// [`TlsError`] naming the setting and the file.
pub fn client_config(exporter: &ExporterConfig) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| parts("tls", &cause))?;
    let builder = match &exporter.ca_file {
        Some(path) => builder.with_root_certificates(roots("tls.ca_file", path)?),
        None => builder.with_native_roots().map_err(|cause| parts("tls.ca_file", &cause))?,
    };
    match &exporter.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates("tls.cert_file", cert)?, private_key("tls.key_file", key)?)
            .map_err(|cause| parts("tls.cert_file and tls.key_file", &cause)),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(key: &'static str, path: &str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        store.add(certificate).map_err(|cause| file(key, path, &cause))?;
    }
    Ok(store)
}

fn certificates(key: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| file(key, path, &cause))?;
    if chain.is_empty() { Err(file(key, path, &"holds no certificate")) } else { Ok(chain) }
}

fn private_key(key: &'static str, path: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| file(key, path, &cause))
}

fn file(key: &'static str, path: &str, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { key, path: path.to_owned(), cause: cause.to_string() }
}

fn parts(key: &'static str, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::Parts { key, cause: cause.to_string() }
}
