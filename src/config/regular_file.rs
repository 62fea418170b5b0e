//! Opens files that must be regular files: opening a FIFO in their place would block for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens `path` with these options without waiting for anything, and refuses what is not a regular file.
/// Symbolic links are followed.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open(path, options, libc::O_NONBLOCK)
}

/// The same for a file that the server itself created. A symbolic link is refused, because a file somewhere
/// else would be written through it.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    open(path, options, libc::O_NONBLOCK | libc::O_NOFOLLOW).map_err(|error| {
        if error.raw_os_error() == Some(libc::ELOOP) { refused("a symbolic link") } else { error }
    })
}

/// Whether a directory that the server creates itself exists. A symbolic link in its place is refused,
/// because what the server writes and removes there would be written and removed somewhere else, with the
/// server's rights.
pub fn has_own_directory(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(found) if found.is_symlink() => Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "it is a symbolic link: put a directory there, or mount one (mount --bind)",
        )),
        Ok(_) => Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory: remove it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(path: &Path, options: &mut OpenOptions, flags: libc::c_int) -> io::Result<File> {
    let file = match options.custom_flags(flags | libc::O_NOCTTY).open(path) {
        // A FIFO without a reader, or a socket.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(refused("not a regular file")),
        other => other?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused("not a regular file")) }
}

fn refused(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {what}: remove it, or put the right file there"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, file, link) = (dir.path().join("fifo"), dir.path().join("file"), dir.path().join("link"));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        let read = || OpenOptions::new().read(true).clone();
        for refused in [&fifo, dir.path(), Path::new("/dev/null")] {
            assert!(open_regular(refused, &mut read()).is_err(), "{}", refused.display());
            assert!(open_own(refused, &mut read()).is_err());
        }
        assert!(open_regular(&fifo, OpenOptions::new().write(true)).is_err());
        assert!(open_regular(&link, &mut read()).is_ok());
        assert!(open_own(&file, &mut read()).is_ok());
        let error = open_own(&link, &mut read()).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
    }

    #[test]
    fn a_directory_of_the_server_is_no_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        symlink(dir.path(), &link).unwrap();
        fs::write(&file, "x").unwrap();
        assert!(has_own_directory(dir.path()).unwrap());
        assert!(!has_own_directory(&dir.path().join("none")).unwrap());
        for (path, what) in [(link, "symbolic link"), (file, "not a directory")] {
            let error = has_own_directory(&path).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
