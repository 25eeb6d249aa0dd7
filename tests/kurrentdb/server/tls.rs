//! A certificate authority of the server's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tonic::transport::{Identity, ServerTlsConfig};

/// A certificate for 127.0.0.1 and localhost, and the file of the authority that signed it, which goes with it.
pub(super) struct Tls {
    ca_file: PathBuf,
    certificate: String,
    key: String,
}

impl Tls {
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub(super) fn new() -> Self {
        // The client's library is built with two cryptographic providers, and wants to be told which one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (ca, certificate, key) = certificates().expect("certificates can be made"); // A test cannot go on without.
        let ca_file = std::env::temp_dir().join(format!("kurrentdb-ca-{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&ca_file, ca).expect("the folder of temporary files can be written"); // As above.
        Self { ca_file, certificate, key }
    }

    pub(super) fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    pub(super) fn config(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(&self.certificate, &self.key))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.ca_file);
    }
}

/// The authority's certificate, the server's, and the server's key, as PEM.
fn certificates() -> Result<(String, String, String), rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "a test's authority");
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok((ca_certificate.pem(), certificate.pem(), key.serialize_pem()))
}
