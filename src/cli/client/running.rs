//! Finds running servers on this computer: the one that has a data directory, and those of this user.

use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::net::sockopt::socket_peercred;

use super::failures::nobody_there;
use crate::cli::errors::Failure;
use crate::server::connect_socket;
use crate::store::lock;

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Running {
    pid: u32,
    /// Who runs it, as the kernel says.
    user: u32,
    data_dir: PathBuf,
    socket: PathBuf,
}

impl Running {
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The flag that selects it on a command line.
    pub(super) fn flag(&self) -> String {
        let dir = self.data_dir.display().to_string();
        format!("--data-dir {}", shlex::try_quote(&dir).unwrap_or_default())
    }

    /// Its data directory and process, for a note.
    pub(super) fn shown(&self) -> String {
        format!("{} (pid {})", self.data_dir.display(), self.pid)
    }
}

/// The server that has `data_dir`, if it answers. Its LOCK file names the socket, because the server's
/// settings and environment may differ from the command's.
pub(super) fn holding(data_dir: &Path) -> Result<Option<PathBuf>, (PathBuf, io::Error)> {
    answering(data_dir).map(|found| found.map(|running| running.socket))
}

fn answering(data_dir: &Path) -> Result<Option<Running>, (PathBuf, io::Error)> {
    let Some((pid, socket)) = holder(data_dir) else { return Ok(None) };
    match connect_socket(&socket) {
        // After a crash, another server may listen on the same socket.
        Ok(stream) => Ok(peer(&stream).filter(|(found, _)| *found == pid).map(|(pid, user)| Running {
            pid,
            user,
            data_dir: data_dir.to_owned(),
            socket,
        })),
        Err(error) if nobody_there(&error) => Ok(None),
        Err(error) => Err((socket, error)),
    }
}

/// Every server of this user that answers; for root, those of all users.
pub(in crate::cli) fn all() -> Vec<Running> {
    let user = rustix::process::geteuid();
    of(|owner| user.is_root() || owner == user.as_raw())
}

/// The servers of this user, for root too. A command that names no server sends passwords to the one that it
/// finds, and every user can run a process that looks like a server: those of others are not even asked.
pub(super) fn own() -> Vec<Running> {
    let user = rustix::process::geteuid().as_raw();
    let mut own = of(|owner| owner == user);
    own.retain(|running| running.user == user);
    own
}

/// The servers that answer, of processes whose owner is wanted.
fn of(is_wanted: impl Fn(u32) -> bool) -> Vec<Running> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found: Vec<Running> = processes
        .filter(|process| process.metadata().is_ok_and(|found| is_wanted(found.uid())))
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let files = fs::read_dir(process.path().join("fd")).ok()?;
            let mut locked = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
            locked.find_map(|file| file.ends_with("LOCK").then(|| of_process(pid, file.parent()?)).flatten())
        })
        .collect();
    found.sort_by(|one, other| one.data_dir.cmp(&other.data_dir));
    found
}

/// Adds to a failure how to select a server that runs elsewhere.
pub(in crate::cli) fn named(failure: Failure) -> Failure {
    all().iter().fold(failure, |failure, running| {
        failure.fix(format!("or use the server that runs: {}", running.flag()))
    })
}

fn of_process(pid: u32, data_dir: &Path) -> Option<Running> {
    answering(data_dir).ok()?.filter(|running| running.pid == pid)
}

fn holder(data_dir: &Path) -> Option<(u32, PathBuf)> {
    let holder = lock::holder(data_dir)?;
    Some((holder.pid, holder.socket?))
}

/// The process at the other end, and its user.
fn peer(stream: &UnixStream) -> Option<(u32, u32)> {
    let peer = socket_peercred(stream.as_fd()).ok()?;
    Some((u32::try_from(peer.pid.as_raw_nonzero().get()).ok()?, peer.uid.as_raw()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::store::lock::DirLock;

    #[test]
    fn a_server_is_known_by_the_process_and_the_user_at_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let mut lock = DirLock::acquire(dir.path()).unwrap();
        lock.set_socket(&socket).unwrap();
        assert_eq!(answering(dir.path()).unwrap(), None);
        let _listener = UnixListener::bind(&socket).unwrap();
        let (pid, user) = (std::process::id(), rustix::process::geteuid().as_raw());
        let running = Running { pid, user, data_dir: dir.path().to_owned(), socket };
        assert_eq!(answering(dir.path()).unwrap(), Some(running.clone()));
        assert!(own().contains(&running) && all().contains(&running));
        assert!(!of(|owner| owner != user).contains(&running), "a process of a user who is not wanted");
    }
}
