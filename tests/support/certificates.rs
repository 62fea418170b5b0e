//! A certificate authority for a test, and the files that it issues.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The paths of a server's certificate.
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Test CA")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.as_ref().der().clone()
    }

    /// The configuration of a client that trusts only this authority.
    pub fn trust(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }

    pub fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// A new certificate for this computer, and its key, as PEM.
    pub fn issue(&self) -> (String, String) {
        self.issue_with(|_| {})
    }

    /// The same, with changes.
    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        self.issue_for(&KeyPair::generate().expect("a key"), change)
    }

    /// The same for an existing key.
    pub fn issue_for(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = usual();
        change(&mut params);
        let certificate = params.signed_by(key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// The same, in two files.
    pub fn issue_to(&self, directory: &Path) -> Files {
        let files = Files { cert: directory.join("cert.pem"), key: directory.join("key.pem") };
        let (cert, key) = self.issue();
        files.write(&cert, &key);
        files
    }
}

/// The default parameters: a certificate for this computer.
fn usual() -> CertificateParams {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    CertificateParams::new(names).expect("parameters")
}

impl Files {
    pub fn write(&self, cert: &str, key: &str) {
        put(&self.key, key, 0o600);
        put(&self.cert, cert, 0o644);
    }
}

/// Replaces a file atomically.
pub fn put(path: &Path, content: &str, mode: u32) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("a file");
    fs::set_permissions(&new, Permissions::from_mode(mode)).expect("its mode");
    fs::rename(&new, path).expect("its name");
}
