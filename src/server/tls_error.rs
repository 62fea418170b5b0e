//! Why TLS cannot be used, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::config::SecretFileError;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The setting names no file.
    #[error(transparent)]
    Path(#[from] SecretFileError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Users who need not read the key have access to it.
    #[error("the private key {} is open to other users (mode {mode:04o})", path.display())]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The mode that chmod should set.
        chmod: &'static str,
    },
    /// A file does not hold what it should.
    #[error("{} {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do about it.
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
            Self::Path(error) => error.fix(),
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                format!("put the PEM file at {}, or name another one", path.display())
            }
            Self::Read { path, .. } => format!(
                "run this command as the user that runs the server, or with sudo; that user must be able to read {}",
                path.display()
            ),
            Self::OpenKey { path, chmod, .. } => format!("chmod {chmod} {}", path.display()),
            Self::Content { fix, .. } => (*fix).to_owned(),
            Self::Mismatch { .. } => {
                "name the key that the certificate was made with; in the certificate file the server's own comes first".to_owned()
            }
        }
    }
}
