//! Certificates and keys from files, for listeners and exporters.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use super::renewed::Renewed;
use crate::config::{ClientTls, Identity, ServerTls};

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

/// The TLS of the listener at `key`, offering HTTP/2 and HTTP/1.1. Connections that are open keep what they began with.
///
/// # Errors
/// [`TlsError`] naming the setting and the file.
pub(crate) fn server(key: &str, tls: &ServerTls) -> Result<Renewed<ServerConfig, TlsError>, TlsError> {
    let Identity { cert_file, key_file } = tls.identity.clone();
    let files = [cert_file, key_file].into_iter().chain(tls.client_ca_file.clone()).collect();
    let settings = tls.clone();
    Renewed::new(&format!("{key}.tls"), files, tls.reload_interval, move || server_config(&settings))
}

fn server_config(tls: &ServerTls) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.only_tls13))
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
    let (chain, key) = identity(&tls.identity)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|cause| no_pair(&tls.identity, &cause))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// An exporter's TLS. The protocol list is left empty: the connector sets it.
///
/// # Errors
/// [`TlsError`] naming the setting and the file.
pub(crate) fn client_config(tls: &ClientTls) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.only_tls13))
        .map_err(|cause| parts("tls.min_version", &cause))?;
    let builder = match &tls.ca_file {
        _ if tls.insecure_skip_verify => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        }
        Some(path) => builder.with_root_certificates(roots("tls.ca_file", path)?),
        None => builder.with_native_roots().map_err(|cause| parts("tls.ca_file", &cause))?,
    };
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(files) => {
            let (chain, key) = identity(files)?;
            builder.with_client_auth_cert(chain, key).map_err(|cause| no_pair(files, &cause))
        }
    }
}

/// The TLS of an exporter that speaks without: it trusts nobody, so that no file has to be there.
pub(crate) fn no_client_config() -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(false))
        .map_err(|cause| parts("tls", &cause))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The files that an exporter's TLS is made of.
pub(crate) fn client_files(tls: &ClientTls) -> Vec<String> {
    let pair = tls.identity.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
    tls.ca_file.iter().chain(pair).cloned().collect()
}

/// Takes every certificate (`insecure_skip_verify`): what is sent is encrypted, to whoever answers.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn versions(only_tls13: bool) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    // The later half.
    if only_tls13 { &FROM_TLS12[1..] } else { &FROM_TLS12 }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &Identity) -> Result<Pair, TlsError> {
    let chain = certificates("tls.cert_file", &files.cert_file)?;
    Ok((chain, private_key("tls.key_file", &files.key_file)?))
}

fn no_pair(files: &Identity, cause: &rustls::Error) -> TlsError {
    let cause = format!("{} and {} are no pair: {cause}", files.cert_file, files.key_file);
    parts("tls.cert_file and tls.key_file", &cause)
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
