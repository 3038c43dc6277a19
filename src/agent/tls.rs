//! Certificates and keys from files, for listeners and exporters.

use std::{path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use super::settings::{ClientTls, ServerTls};

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
    let versions: &[_] = if tls.tls13_only { &[&TLS13] } else { &[&TLS12, &TLS13] };
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
pub fn client_config(tls: &ClientTls) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| parts("tls", &cause))?;
    let builder = match &tls.ca_file {
        _ if tls.insecure_skip_verify => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        }
        Some(path) => builder.with_root_certificates(roots("tls.ca_file", path)?),
        None => builder.with_native_roots().map_err(|cause| parts("tls.ca_file", &cause))?,
    };
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates("tls.cert_file", cert)?, private_key("tls.key_file", key)?)
            .map_err(|cause| parts("tls.cert_file and tls.key_file", &cause)),
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) => Err(parts("tls.key_file", &"is missing beside tls.cert_file")),
        (None, Some(_)) => Err(parts("tls.cert_file", &"is missing beside tls.key_file")),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(key: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        store.add(certificate).map_err(|cause| file(key, path, &cause))?;
    }
    Ok(store)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| file(key, path, &cause))?;
    if chain.is_empty() { Err(file(key, path, &"holds no certificate")) } else { Ok(chain) }
}

fn private_key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| file(key, path, &cause))
}

fn file(key: &'static str, path: &Path, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { key, path: path.display().to_string(), cause: cause.to_string() }
}

fn parts(key: &'static str, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::Parts { key, cause: cause.to_string() }
}

/// Believes any certificate, and still demands that its holder signs the handshake.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
