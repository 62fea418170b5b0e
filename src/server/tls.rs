//! TLS: the certificate from its files, checked before it is used, and exchanged while connections come in.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};

use super::validity;
use crate::config::Environment;
use crate::config::SecretFileError;
use crate::config::TlsConfig;
use crate::config::TlsVersion;
use crate::config::open_regular;

/// The permissions of group and others.
const NOT_THE_OWNER: u32 = 0o077;
const OTHERS: u32 = 0o007;
const MAX_BYTES: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The setting names no file.
    #[error(transparent)]
    Place(#[from] SecretFileError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read the key.
    #[error("the private key {} is open to other users (mode {mode:04o})", path.display())]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What to take away with chmod.
        excess: &'static str,
    },
    /// A file does not hold what it should.
    #[error("{} {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        fix: &'static str,
    },
    /// The two files belong to two certificates.
    #[error("the private key {} does not belong to the certificate {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

impl TlsError {
    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Place(error) => error.fix(),
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("put the PEM file at {}, or name another one", path.display())
            }
            Self::Read { path, .. } => format!("make {} readable for the user that runs the server", path.display()),
            Self::OpenKey { path, excess, .. } => format!("chmod {excess} {}", path.display()),
            Self::Content { fix, .. } => (*fix).to_owned(),
            Self::Mismatch { .. } => {
                "name the key that the certificate was made with; in the certificate file the server's own comes first".to_owned()
            }
        }
    }
}

/// Everything for listeners that speak TLS.
pub struct Tls {
    pub(super) certificate: Arc<Certificate>,
    pub(super) config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate that the settings name; nothing when they ask for plain HTTP.
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
}

/// The certificate in use. Another one takes its place between two handshakes.
#[derive(Debug)]
pub struct Certificate {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    source: Mutex<Source>,
}

/// A certificate that was read and found good, and is not used yet.
pub struct NewCertificate {
    key: CertifiedKey,
    source: Source,
}

/// Where the certificate in use came from.
#[derive(Debug)]
struct Source {
    files: Files,
    /// The files as they were last looked at.
    stamp: Stamp,
}

#[derive(Clone, Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    /// systemd's own directory shows the group what only the service can reach.
    is_credential: bool,
}

/// What changes when a file does: inode, size, and both times.
type Stamp = [Option<(u64, u64, i64, i64, i64, i64)>; 2];

impl Certificate {
    fn load(
        config: &TlsConfig,
        environment: &Environment,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let NewCertificate { key, source } = read(Files::of(config, environment)?, &provider)?;
        Ok(Self { provider, current: ArcSwap::from_pointee(key), source: Mutex::new(source) })
    }

    /// Reads the certificate that these settings name, without using it.
    pub fn read(&self, config: &TlsConfig, environment: &Environment) -> Result<NewCertificate, TlsError> {
        read(Files::of(config, environment)?, &self.provider)
    }

    /// Until when it is valid, in Unix milliseconds.
    pub fn end_ms(&self) -> Option<u64> {
        validity::end_ms(self.current.load().cert.first()?)
    }

    /// Uses another certificate from the next handshake on; says whether it is another one.
    pub fn replace(&self, new: NewCertificate) -> bool {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        *source = new.source;
        let old = self.current.swap(Arc::new(new.key));
        old.cert != self.current.load().cert
    }

    /// Reads the files again when they changed. A pair that is no good is told once, and the old one stays.
    pub(super) fn refresh(&self) {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = source.files.stamp();
        if stamp == source.stamp {
            return;
        }
        source.stamp = stamp;
        match read(source.files.clone(), &self.provider) {
            Ok(new) => {
                *source = new.source;
                self.current.store(Arc::new(new.key));
                tracing::info!(file = %source.files.cert.display(), "the certificate changed: the new one is in use");
            }
            Err(error) => {
                let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                let fix = error.fix();
                tracing::error!(%error, why, fix, "the certificate's files changed, and are no good: the old certificate stays in use");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Files {
    fn of(config: &TlsConfig, environment: &Environment) -> Result<Self, TlsError> {
        let key = config.key_file.path(environment)?;
        Ok(Self {
            cert: config.cert_file.path(environment)?,
            key,
            is_credential: config.key_file.is_credential(),
        })
    }

    fn stamp(&self) -> Stamp {
        [&self.cert, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
        })
    }
}

fn read(files: Files, provider: &CryptoProvider) -> Result<NewCertificate, TlsError> {
    // Before the content, so that a change in between is seen next time.
    let stamp = files.stamp();
    let chain = chain(&files.cert)?;
    let key = private_key(&files.key, files.is_credential)?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() }
        }
        rustls::Error::InvalidCertificate(error) => TlsError::Content {
            path: files.cert.clone(),
            what: format!("holds no usable certificate: {error:?}"),
            fix: "put the certificate there as PEM, the server's own first",
        },
        error => TlsError::Content {
            path: files.key.clone(),
            what: format!("holds no usable key: {error}"),
            fix: "use an ECDSA P-256 or P-384, Ed25519, or RSA key of 2048 bits or more",
        },
    })?;
    Ok(NewCertificate { key, source: Source { files, stamp } })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const FIX: &str = "put the certificate there as PEM, followed by the intermediate ones";
    let content = |what: String| TlsError::Content { path: path.to_owned(), what, fix: FIX };
    let (bytes, _) = bytes(path)?;
    let chain: Result<Vec<_>, _> = rustls_pemfile::certs(&mut bytes.as_slice()).collect();
    let chain = chain.map_err(|error| content(format!("is not valid PEM: {error}")))?;
    if chain.is_empty() { Err(content("holds no certificate".to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path, is_credential: bool) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (bytes, mode) = bytes(path)?;
    let (too_open, excess) = if is_credential { (OTHERS, "o-rwx") } else { (NOT_THE_OWNER, "600") };
    if mode & too_open != 0 {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode, excess });
    }
    let content = |what: &str, fix| TlsError::Content { path: path.to_owned(), what: what.to_owned(), fix };
    let is_encrypted = bytes.windows(10).any(|part| part == b"ENCRYPTED ")
        || bytes.windows(10).any(|part| part == b",ENCRYPTED");
    match rustls_pemfile::private_key(&mut bytes.as_slice()) {
        Ok(Some(key)) => Ok(key),
        _ if is_encrypted => Err(content(
            "is encrypted with a passphrase",
            "write it without one: openssl pkey -in KEY -out NEW",
        )),
        Ok(None) => Err(content("holds no private key", "put the private key there as PEM")),
        // What the parser says may quote the key.
        Err(_) => Err(content("is not valid PEM", "put the private key there as PEM")),
    }
}

fn bytes(path: &Path) -> Result<(Vec<u8>, u32), TlsError> {
    let wrong = |source| TlsError::Read { path: path.to_owned(), source };
    let file = open_regular(path, OpenOptions::new().read(true)).map_err(wrong)?;
    // Of the open file, so that no other one can take its place.
    let mode = file.metadata().map_err(wrong)?.mode() & 0o7777;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(wrong)?;
    Ok((bytes, mode))
}
