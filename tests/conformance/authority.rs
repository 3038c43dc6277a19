//! Certificates for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::path::Path;

/// A certificate and its key as PEM files.
pub struct Files {
    pub cert_file: String,
    pub key_file: String,
}

/// Signs certificates for 127.0.0.1 and isotel.test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub ca_file: String,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("authority {name}"));
        let key = KeyPair::generate().unwrap();
        let ca_file = write(folder, &format!("{name}-ca.pem"), &params.self_signed(&key).unwrap().pem());
        Authority { issuer: Issuer::new(params, key), ca_file }
    }

    /// Writes a new certificate and its key over those of this name.
    pub fn certify(&self, folder: &Path, name: &str) -> Files {
        let mut leaf =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "isotel.test".to_owned()]).unwrap();
        // OpenSSL takes a certificate whose subject is its issuer for one that is signed by itself.
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.use_authority_key_identifier_extension = true;
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Files {
            cert_file: write(
                folder,
                &format!("{name}.pem"),
                &leaf.signed_by(&key, &self.issuer).unwrap().pem(),
            ),
            key_file: write(folder, &format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

/// Writes a file; its path.
pub fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
