//! Writes files atomically: after a power cut a file has its old or its new content, never a part.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::open_own;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct WriteError {
    /// The file itself, or the temporary one if something else is at its path.
    pub path: PathBuf,
    /// The error of the system.
    pub source: io::Error,
}

/// Replaces a file atomically; the new one has this mode and belongs to this process.
///
/// `write` fills it under a temporary name; then it is synced and renamed, and the directory is synced. After
/// an error the old file is still there, and the temporary one is removed.
pub fn write_file(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), WriteError> {
    let new = temporary(path);
    let failed = |path: &Path, source| WriteError { path: path.to_owned(), source };
    // Left by a process that was killed before the rename.
    remove_if_there(&new).map_err(|source| failed(&new, source))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = open_own(&new, &mut options).map_err(|source| failed(&new, source))?;
    let synced = write(&mut file).and_then(|()| file.sync_all());
    drop(file);
    synced.and_then(|()| put_in_place(&new, path)).map_err(|source| {
        // If this fails, the next write removes it.
        let _ = fs::remove_file(&new);
        failed(path, source)
    })
}

/// Renames a synced file over an existing one, and syncs the directory.
pub fn put_in_place(new: &Path, path: &Path) -> io::Result<()> {
    fs::rename(new, path)?;
    sync_dir(parent(path))
}

/// Makes the entries of a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; not an error if it does not exist.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The directory of a file.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for content in [&b"first"[..], b"second"] {
            write_file(&path, 0o600, |file| file.write_all(content)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_file(&path, 0o600, |file| file.write_all(b"old")).unwrap();
        let failed = write_file(&path, 0o600, |file| {
            file.write_all(b"half of the ne")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let failed = failed.unwrap_err();
        assert_eq!((failed.source.kind(), failed.path), (io::ErrorKind::StorageFull, path.clone()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_the_way_of_the_temporary_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("secret.new");
        fs::create_dir(&in_the_way).unwrap();
        let failed = write_file(&dir.path().join("secret"), 0o600, |_| Ok(())).unwrap_err();
        assert_eq!(failed.path, in_the_way);
        assert!(in_the_way.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_replaced_and_links_are_not_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, target) = (dir.path().join("secret"), other.path().join("target"));
        fs::write(&target, "precious").unwrap();
        fs::write(dir.path().join("secret.new"), "left over").unwrap();
        symlink(&target, &path).unwrap();
        write_file(&path, 0o600, |file| file.write_all(b"new")).unwrap();
        symlink(&target, dir.path().join("secret.new")).unwrap();
        write_file(&path, 0o600, |file| file.write_all(b"newer")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }
}
