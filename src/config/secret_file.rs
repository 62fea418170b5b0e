//! Files that hold a secret, given as a path or as a systemd credential.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::environment::Environment;

const CREDENTIAL: &str = "credential:";
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const MAX_BYTES: u64 = 64 * 1024;
/// Read and write permission for all users.
const OTHERS: u32 = 0o006;

/// The place of a secret: `/path`, or `credential:NAME`; empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretFile(String);

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// `credential:` with something that is not a file name.
    #[error("`{0}` does not name a credential")]
    Name(String),
    /// systemd gave this process no credentials.
    #[error("`{0}` needs $CREDENTIALS_DIRECTORY, which systemd sets for LoadCredential=")]
    NoCredentials(String),
    /// It cannot be read.
    #[error("cannot read the secret file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Every user of this computer may read or change it.
    #[error("the secret file {} is open to every user of this computer (mode {mode:04o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is empty, or cannot be a secret.
    #[error("the secret file {} {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// `is empty`, `is not UTF-8 text`.
        what: &'static str,
    },
}

impl SecretFile {
    /// The secret in the file at `place`, or `credential:NAME`.
    pub fn new(place: impl Into<String>) -> Self {
        Self(place.into())
    }

    /// Whether a place is set.
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether it is a credential from systemd.
    pub fn is_credential(&self) -> bool {
        self.0.starts_with(CREDENTIAL)
    }

    /// The path of the file.
    ///
    /// # Errors
    /// A credential without a name, or a process that systemd gave no credentials.
    pub fn path(&self, environment: &Environment) -> Result<PathBuf, SecretFileError> {
        let Some(name) = self.0.strip_prefix(CREDENTIAL) else { return Ok(PathBuf::from(&self.0)) };
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(SecretFileError::Name(self.0.clone()));
        }
        let directory =
            environment.get(DIRECTORY).ok_or_else(|| SecretFileError::NoCredentials(self.0.clone()))?;
        Ok(Path::new(directory).join(name))
    }

    /// The secret, without the newline at its end. Wrap it in `Secret` before it is passed on.
    ///
    /// # Errors
    /// A file that is missing, accessible to every user, empty, too long, or not text.
    pub fn read(&self, environment: &Environment) -> Result<String, SecretFileError> {
        let path = self.path(environment)?;
        match read(&path) {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(error),
            Err(source) => Err(SecretFileError::Read { path, source }),
        }
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SecretFileError {
    /// What to do about the error.
    pub fn fix(&self) -> String {
        match self {
            Self::Name(_) => "write credential:NAME with the name given to LoadCredential=".to_owned(),
            Self::NoCredentials(_) => {
                "add LoadCredential=NAME:/path to the unit, or name the file itself".to_owned()
            }
            Self::Read { path, .. } => format!("put the secret into {} or name another file", path.display()),
            Self::Open { path, .. } => format!("chmod o-rwx {}", path.display()),
            Self::Content { path, .. } => {
                format!("put the secret alone, on one line, into {}", path.display())
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Result<String, SecretFileError>> {
    let file = File::open(path)?;
    let content = |what| Ok(Err(SecretFileError::Content { path: path.to_owned(), what }));
    // Checks the file that is open, so that it cannot be replaced between the check and the read.
    let metadata = file.metadata()?;
    if metadata.mode() & OTHERS != 0 {
        return Ok(Err(SecretFileError::Open { path: path.to_owned(), mode: metadata.mode() & 0o7777 }));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return content("is longer than 64 KiB");
    }
    let Ok(mut text) = String::from_utf8(bytes) else { return content("is not UTF-8 text") };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { content("is empty") } else { Ok(Ok(text)) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_secret_loses_one_newline_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for (content, secret) in [("12345", "12345"), (" a b \n", " a b "), ("a\n\n", "a\n"), ("a\r\n", "a")]
        {
            let path = file(directory.path(), "secret", content.as_bytes(), 0o640);
            let secret_file = SecretFile::new(path.to_str().unwrap());
            assert_eq!(secret_file.read(&Environment::default()).unwrap(), secret, "{content:?}");
        }
    }

    #[test]
    fn a_file_open_to_others_is_refused_with_the_chmod_to_run() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o602, 0o777] {
            let path = file(directory.path(), "secret", b"x", mode);
            let error = SecretFile::new(path.to_str().unwrap()).read(&Environment::default()).unwrap_err();
            assert_eq!(error.fix(), format!("chmod o-rwx {}", path.display()));
            assert!(error.to_string().contains(&format!("(mode 0{mode:o})")), "{error}");
        }
    }

    #[test]
    fn credentials_come_from_systemds_directory() {
        let directory = tempfile::tempdir().unwrap();
        file(directory.path(), "admin", b"maple\n", 0o400);
        let environment = Environment::from_iter([("CREDENTIALS_DIRECTORY", directory.path())]);
        assert_eq!(SecretFile::new("credential:admin").read(&environment).unwrap(), "maple");

        let none = Environment::default();
        let error = SecretFile::new("credential:admin").read(&none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`credential:admin` needs $CREDENTIALS_DIRECTORY, which systemd sets for LoadCredential="
        );
        for name in ["credential:", "credential:../etc/shadow", "credential:.."] {
            assert!(
                matches!(SecretFile::new(name).read(&environment), Err(SecretFileError::Name(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let long = vec![b'x'; 65 * 1024];
        for (content, what) in [
            (b"".as_slice(), "is empty"),
            (b"\n", "is empty"),
            (b"\xff", "is not UTF-8 text"),
            (&long, "is longer than 64 KiB"),
        ] {
            let path = file(directory.path(), "secret", content, 0o600);
            let error = SecretFile::new(path.to_str().unwrap()).read(&Environment::default()).unwrap_err();
            assert!(error.to_string().ends_with(what), "{error}");
        }
        let missing = SecretFile::new(directory.path().join("none").to_str().unwrap());
        assert!(matches!(missing.read(&Environment::default()), Err(SecretFileError::Read { .. })));
    }
}
