//! The files of a certificate and its private key.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::tls_error::TlsError;
use crate::config::{Environment, TlsConfig, open_regular};

const MAX_BYTES: u64 = 1 << 20;

/// The paths of the certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    key: PathBuf,
    /// For a systemd credential: its mode shows group access, but only the service can reach the directory.
    is_credential: bool,
}

/// Values that change when a file does: inode, size, and both times, of each file.
pub(super) type Stamp = [Option<(u64, u64, i64, i64, i64, i64)>; 2];

impl Files {
    pub(super) fn of(config: &TlsConfig, environment: &Environment) -> Result<Self, TlsError> {
        let key = config.key_file.path(environment)?;
        Ok(Self {
            cert: config.cert_file.path(environment)?,
            key,
            is_credential: config.key_file.is_credential(),
        })
    }

    pub(super) fn stamp(&self) -> Stamp {
        [&self.cert, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
        })
    }

    /// Reads both files and checks that they belong together.
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = chain(&self.cert)?;
        let key = private_key(&self.key, self.is_credential)?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => TlsError::Content {
                path: self.cert.clone(),
                what: format!("holds no usable certificate: {error:?}"),
                fix: "put the certificate there as PEM, the server's own first",
            },
            error => TlsError::Content {
                path: self.key.clone(),
                what: format!("holds no usable key: {error}"),
                fix: "use an ECDSA P-256 or P-384, Ed25519, or RSA key of 2048 bits or more",
            },
        })
    }
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
    let (bytes, found) = bytes(path)?;
    let mode = found.mode() & 0o7777;
    let user = rustix::process::geteuid().as_raw();
    if let Some(chmod) = too_open(mode, found.uid(), user, is_credential) {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode, chmod });
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
        // The message of the parser may quote the key, so it is not used.
        Err(_) => Err(content("is not valid PEM", "put the private key there as PEM")),
    }
}

/// The permissions that a private key must not have, and the mode for chmod. The group may read it if root or
/// `user`, who runs the server, has chosen that group; no other user may have access, and none may write it.
const fn too_open(mode: u32, owner: u32, user: u32, is_credential: bool) -> Option<&'static str> {
    let (excess, chmod) = match owner {
        _ if is_credential => (0o007, "o-rwx"),
        // Without its group the server could no longer read it.
        0 if user != 0 => (0o037, "640"),
        owner if owner == 0 || owner == user => (0o037, "600"),
        _ => (0o077, "600"),
    };
    if mode & excess != 0 { Some(chmod) } else { None }
}

fn bytes(path: &Path) -> Result<(Vec<u8>, Metadata), TlsError> {
    let wrong = |source| TlsError::Read { path: path.to_owned(), source };
    let file = open_regular(path, OpenOptions::new().read(true)).map_err(wrong)?;
    // Checks the file that is open, so that it cannot be replaced between the check and the read.
    let found = file.metadata().map_err(wrong)?;
    let mut bytes = Vec::new();
    let read: io::Result<usize> = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(wrong)?;
    Ok((bytes, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_read_a_key_of_root_or_of_the_server_and_nothing_more() {
        const SERVER: u32 = 990;
        for (mode, owner, user, is_credential, chmod) in [
            (0o600, SERVER, SERVER, false, None),
            (0o400, SERVER, SERVER, false, None),
            (0o640, SERVER, SERVER, false, None),
            (0o640, 0, SERVER, false, None),
            (0o440, 0, SERVER, false, None),
            (0o640, 0, 0, false, None),
            (0o640, 1000, 0, false, Some("600")),
            (0o640, 1000, SERVER, false, Some("600")),
            (0o600, 1000, 0, false, None),
            (0o660, 0, SERVER, false, Some("640")),
            (0o644, 0, SERVER, false, Some("640")),
            (0o644, SERVER, SERVER, false, Some("600")),
            (0o650, SERVER, SERVER, false, Some("600")),
            (0o604, 0, 0, false, Some("600")),
            (0o440, 1000, SERVER, true, None),
            (0o444, 0, SERVER, true, Some("o-rwx")),
        ] {
            assert_eq!(too_open(mode, owner, user, is_credential), chmod, "{mode:o} {owner} {user}");
        }
    }
}
