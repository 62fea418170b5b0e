//! A private directory for one run: the data of a temporary server, or the socket of a command that opens the
//! store itself.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::cli::errors::Failure;

/// A new directory that no other user may enter. Dropping it removes it with its content.
pub(super) struct PrivateDir(PathBuf);

impl PrivateDir {
    pub(super) fn create() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::unusable(&parent, &io::Error::other(error.to_string())))?;
        let path = parent.join(format!("stowage-{:016x}", u64::from_ne_bytes(random)));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| Failure::unusable(&path, &error))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the temporary directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_directory_is_private_and_goes_with_its_content() {
        let directory = PrivateDir::create().unwrap();
        let path = directory.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(path.join("blobs")).unwrap();
        fs::write(path.join("blobs/blob"), "x").unwrap();
        drop(directory);
        assert!(!path.exists());
    }
}
