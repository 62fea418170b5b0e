//! The `LOCK` file of a directory: it excludes other processes, names the store, and says whether the last
//! holder closed it cleanly.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;
use uuid::Uuid;

use super::durable::sync_dir;
use crate::config::open_own;

/// The name of the lock file in the directory that it locks. It is never unlinked: another process could then
/// lock a second file of that name.
pub const LOCK_FILE: &str = "LOCK";

/// The longest path of a Unix socket, in bytes (Linux).
const SOCKET: usize = 107;

/// Why a directory could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds the lock.
    #[error("the directory is in use by process {pid}")]
    HeldBy {
        /// The process id that the holder wrote; 0 if it has not written it yet.
        pid: u32,
    },
    /// The file could not be opened, read or written.
    #[error("cannot use the LOCK file")]
    Io(#[from] io::Error),
}

/// The lock of a directory, held as long as the value lives.
///
/// The kernel releases the lock when the process ends, in whatever way.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    dir: PathBuf,
    store: Option<Uuid>,
    clean: bool,
    /// The socket at which commands reach the holder.
    socket: Option<String>,
}

/// The holder of a directory's lock, by its `LOCK` file; it may have ended since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, in its own namespace.
    pub pid: u32,
    /// Its admin socket, when it has one.
    pub socket: Option<PathBuf>,
}

/// The holder of `dir`. This does not take the lock, so it cannot disturb a server that starts.
pub fn holder(dir: &Path) -> Option<Holder> {
    let file = open_own(&dir.join(LOCK_FILE), OpenOptions::new().read(true)).ok()?;
    let record = Record::parse(&read(&file).ok()?);
    let in_use = !record.clean && record.pid != 0;
    in_use.then(|| Holder { pid: record.pid, socket: record.socket.map(PathBuf::from) })
}

impl DirLock {
    /// Locks `dir`, which must exist, and writes to its `LOCK` file that this process uses it. If one
    /// directory has two roles, lock it once: a second lock is refused, also to the same process.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let file = lock_file(&dir.join(LOCK_FILE))?;
        let text = read(&file)?;
        let record = Record::parse(&text);
        // An empty file is new: the process that created it ended before it could use the directory.
        let clean = text.is_empty() || record.clean;
        let lock = Self { file, dir: dir.to_owned(), store: record.store, clean, socket: None };
        lock.write(false)?;
        if text.is_empty() {
            sync_dir(dir)?;
        }
        Ok(lock)
    }

    /// The id of the store that this directory is part of; `None` in a new directory.
    pub fn store_id(&self) -> Option<Uuid> {
        self.store
    }

    /// Makes the directory part of a store, durably.
    pub fn set_store_id(&mut self, id: Uuid) -> io::Result<()> {
        self.store = Some(id);
        self.write(false)
    }

    /// Records the socket at which this process answers commands, so that they find it whatever their
    /// environment says.
    pub fn set_socket(&mut self, socket: &Path) -> io::Result<()> {
        // A path that does not fit in the record is left out: commands then use the one of the settings.
        let fits =
            |text: &&str| text.len() <= SOCKET && !text.contains(char::is_control) && text.trim() == *text;
        self.socket = socket.to_str().filter(fits).map(str::to_owned);
        self.write(false)
    }

    /// Whether the previous holder called [`mark_clean`](Self::mark_clean); true in a new directory.
    pub fn clean(&self) -> bool {
        self.clean
    }

    /// Records that nothing needs recovery. Call it last: nothing may be written to the directory after it.
    pub fn mark_clean(&self) -> io::Result<()> {
        self.write(true)
    }

    /// The directory that is locked.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every record has the same length and fits in one sector, so a power cut leaves the old one or the new
    /// one.
    fn write(&self, clean: bool) -> io::Result<()> {
        let socket = self.socket.clone().filter(|_| !clean);
        let record = Record { pid: std::process::id(), store: self.store, clean, socket }.to_string();
        self.file.write_all_at(record.as_bytes(), 0)?;
        self.file.set_len(record.len() as u64)?;
        self.file.sync_data()
    }
}

/// Unlocks explicitly. A child process has the open files of this one from its fork to its exec, and flock(2)
/// holds as long as one copy is open: without this, a released directory could appear locked for that time.
impl Drop for DirLock {
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// The id of the store that a directory is part of, without locking it; `None` if it cannot be read.
pub fn peek(dir: &Path) -> Option<Uuid> {
    let file = open_own(&dir.join(LOCK_FILE), OpenOptions::new().read(true)).ok()?;
    Record::parse(&read(&file).ok()?).store
}

/// Opens and locks the file at `path`. It checks that the path still names the locked file, because another
/// process may have replaced it in between.
fn lock_file(path: &Path) -> Result<File, LockError> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o640);
        let file = open_own(path, &mut options)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::HeldBy { pid: Record::parse(&read(&file)?).pid });
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        let mine = file.metadata()?;
        match fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (mine.dev(), mine.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn read(file: &File) -> io::Result<String> {
    let mut bytes = [0; 512];
    let mut len = 0;
    loop {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => return Ok(String::from_utf8_lossy(&bytes[..len]).into_owned()),
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The content of the file. Damage reads as an unclean store without an id, never as a clean one.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    pid: u32,
    store: Option<Uuid>,
    clean: bool,
    socket: Option<String>,
}

impl Record {
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').map(str::trim_ascii))
                .unwrap_or("")
        };
        Self {
            pid: value("pid").parse().unwrap_or(0),
            store: value("store").parse().ok(),
            clean: value("state") == "clean",
            socket: Some(value("socket")).filter(|socket| socket.starts_with('/')).map(str::to_owned),
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let store = self.store.map(|id| id.hyphenated().to_string()).unwrap_or_default();
        let state = if self.clean { "clean" } else { "inuse" };
        let socket = self.socket.as_deref().unwrap_or_default();
        write!(f, "pid {:<10}\nstore {store:<36}\nstate {state}\nsocket {socket:<SOCKET$}\n", self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_the_first_ones_process() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        match DirLock::acquire(dir.path()) {
            Err(LockError::HeldBy { pid }) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
        drop(first);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_file_that_a_child_process_inherited_holds_no_lock_that_was_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        let _inherited = lock.file.try_clone().unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(LockError::HeldBy { .. })));
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn the_store_id_outlives_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let id = Uuid::new_v4();
        let mut lock = DirLock::acquire(dir.path()).unwrap();
        assert_eq!(lock.store_id(), None);
        lock.set_store_id(id).unwrap();
        assert_eq!(lock.store_id(), Some(id));
        drop(lock);
        assert_eq!(DirLock::acquire(dir.path()).unwrap().store_id(), Some(id));
    }

    #[test]
    fn only_a_marked_release_is_clean() {
        let dir = tempfile::tempdir().unwrap();
        let new = DirLock::acquire(dir.path()).unwrap();
        assert!(new.clean(), "a new directory has nothing to recover");
        drop(new);
        let after_crash = DirLock::acquire(dir.path()).unwrap();
        assert!(!after_crash.clean());
        after_crash.mark_clean().unwrap();
        drop(after_crash);
        let after_stop = DirLock::acquire(dir.path()).unwrap();
        assert!(after_stop.clean());
        drop(after_stop);
        assert!(!DirLock::acquire(dir.path()).unwrap().clean(), "clean holds for one start only");
    }

    #[test]
    fn the_holder_is_known_with_its_socket_until_it_leaves() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let mut lock = DirLock::acquire(dir.path()).unwrap();
        let pid = std::process::id();
        assert_eq!(holder(dir.path()), Some(Holder { pid, socket: None }));
        lock.set_socket(Path::new("/run/a b/admin.sock")).unwrap();
        let socket = Some("/run/a b/admin.sock".into());
        assert_eq!(holder(dir.path()), Some(Holder { pid, socket }));
        for wrong in ["/a\nstate clean", "/a ", "relative", &format!("/{}", "x".repeat(107))] {
            lock.set_socket(Path::new(wrong)).unwrap();
            assert_eq!(holder(dir.path()), Some(Holder { pid, socket: None }), "{wrong:?}");
        }
        lock.set_socket(Path::new("/x")).unwrap();
        lock.mark_clean().unwrap();
        assert_eq!(holder(dir.path()), None);
    }

    #[test]
    fn damage_is_neither_clean_nor_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let garbage = [&b"\0\xff store clean\nstate\nstore xyz\n"[..], &[0; 4096]].concat();
        fs::write(dir.path().join(LOCK_FILE), garbage).unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        assert_eq!((lock.store_id(), lock.clean()), (None, false));
        assert_eq!(Record::parse(&read(&lock.file).unwrap()).pid, std::process::id());
    }

    #[test]
    fn a_lock_file_that_was_replaced_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let old = DirLock::acquire(dir.path()).unwrap();
        fs::remove_file(dir.path().join(LOCK_FILE)).unwrap();
        let new = DirLock::acquire(dir.path()).unwrap();
        assert_ne!(old.file.metadata().unwrap().ino(), new.file.metadata().unwrap().ino());
        assert!(matches!(DirLock::acquire(dir.path()), Err(LockError::HeldBy { .. })));
    }

    #[test]
    fn every_record_has_the_same_length() {
        let id = Some(Uuid::new_v4());
        let records = [
            Record { pid: 1, store: None, clean: true, socket: None },
            Record { pid: u32::MAX, store: id, clean: false, socket: Some(format!("/{}", "x".repeat(106))) },
            Record { pid: 4711, store: id, clean: false, socket: Some("/run/stowage/admin.sock".to_owned()) },
        ];
        for record in &records {
            assert_eq!(record.to_string().len(), records[0].to_string().len());
            assert_eq!(&Record::parse(&record.to_string()), record);
        }
    }
}
