//! TLS: reads and checks the certificate, and replaces it while the server runs.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::certificate_warnings;
use super::key_pair::{Files, Stamp};
use super::tls_error::TlsError;
use super::x509::CertificateFacts;
use crate::config::{Environment, TlsConfig, TlsVersion};

/// The TLS configuration of listeners.
pub struct Tls {
    pub(super) certificate: Arc<Certificate>,
    pub(super) config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate of the settings; `None` if they choose plain HTTP.
    ///
    /// # Panics
    /// Never: both versions of TLS are built in.
    pub fn load(config: &TlsConfig, environment: &Environment) -> Result<Option<Self>, TlsError> {
        if !config.is_on() {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let certificate = Arc::new(Certificate::load(config, environment, Arc::clone(&provider))?);
        let versions = match config.min_version {
            TlsVersion::V12 => vec![&TLS13, &TLS12],
            TlsVersion::V13 => vec![&TLS13],
        };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .expect("ring has cipher suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Certificate>::clone(&certificate));
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Self { certificate, config: Arc::new(server) }))
    }

    /// Warnings about the certificate: see [`Certificate::warnings`].
    pub fn warnings(&self) -> Vec<String> {
        self.certificate.warnings()
    }
}

/// The certificate in use. It can be replaced between two handshakes.
#[derive(Debug)]
pub struct Certificate {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    source: Mutex<Source>,
}

/// A certificate that was read and checked, and is not in use yet.
pub struct NewCertificate {
    key: CertifiedKey,
    source: Source,
}

/// Where the certificate in use was read from.
#[derive(Debug)]
struct Source {
    files: Files,
    /// The state of the files when they were last read.
    stamp: Stamp,
}

/// The result of checking the files for changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// They are as they were.
    Unchanged,
    /// The new certificate is in use.
    Changed,
    /// The new certificate files are not usable; the old certificate stays in use.
    Unusable,
}

impl Certificate {
    fn load(
        config: &TlsConfig,
        environment: &Environment,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let NewCertificate { key, source } = read(Files::of(config, environment)?, &provider)?;
        Ok(Self { provider, current: ArcSwap::from_pointee(key), source: Mutex::new(source) })
    }

    /// Reads the certificate of these settings, without using it.
    pub fn read(&self, config: &TlsConfig, environment: &Environment) -> Result<NewCertificate, TlsError> {
        read(Files::of(config, environment)?, &self.provider)
    }

    /// The end of its validity, in Unix milliseconds.
    pub fn end_ms(&self) -> Option<u64> {
        let facts = CertificateFacts::of(self.current.load().cert.first()?)?;
        u64::try_from(facts.until_ms).ok()
    }

    /// Warnings about its dates and its chain; empty if there are none.
    pub fn warnings(&self) -> Vec<String> {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        certificate_warnings::of(&source.files.cert, &self.current.load().cert, Timestamp::now())
    }

    /// Uses another certificate from the next handshake on; returns whether it differs.
    pub fn replace(&self, new: NewCertificate) -> bool {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        *source = new.source;
        let old = self.current.swap(Arc::new(new.key));
        old.cert != self.current.load().cert
    }

    /// Reads the files again if they changed. An unusable pair is reported once, and the old certificate
    /// stays in use.
    pub(super) fn refresh(&self) -> Refreshed {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = source.files.stamp();
        if stamp == source.stamp {
            return Refreshed::Unchanged;
        }
        source.stamp = stamp;
        match read(source.files.clone(), &self.provider) {
            Ok(new) => {
                *source = new.source;
                self.current.store(Arc::new(new.key));
                tracing::info!(file = %source.files.cert.display(), "the certificate changed: the new one is in use");
                Refreshed::Changed
            }
            Err(error) => {
                let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                let fix = error.fix();
                tracing::error!(%error, why, fix, "the new certificate files are not usable: the old certificate stays in use");
                Refreshed::Unusable
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: Files, provider: &CryptoProvider) -> Result<NewCertificate, TlsError> {
    // Read before the content, so that a change in between is noticed next time.
    let stamp = files.stamp();
    let key = files.read(provider)?;
    Ok(NewCertificate { key, source: Source { files, stamp } })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::config::SecretFile;

    fn issue() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["registry.lan".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn put(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, path).unwrap();
    }

    #[test]
    fn files_that_are_not_usable_are_reported_at_the_first_look_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        let write = |(new_cert, new_key): (String, String)| {
            put(&key, &new_key);
            put(&cert, &new_cert);
        };
        write(issue());
        let config = TlsConfig {
            cert_file: SecretFile::new(cert.display().to_string()),
            key_file: SecretFile::new(key.display().to_string()),
            ..TlsConfig::default()
        };
        let tls = Tls::load(&config, &Environment::default()).unwrap().unwrap();
        let in_use = || tls.certificate.current.load().cert.clone();
        let old = in_use();
        assert_eq!(tls.certificate.refresh(), Refreshed::Unchanged);
        for unusable in [issue().0, "no certificate".to_owned()] {
            put(&cert, &unusable);
            assert_eq!(tls.certificate.refresh(), Refreshed::Unusable);
            assert_eq!(tls.certificate.refresh(), Refreshed::Unchanged, "reported once");
            assert_eq!(in_use(), old);
        }
        write(issue());
        assert_eq!(tls.certificate.refresh(), Refreshed::Changed);
        assert_ne!(in_use(), old);
    }
}
