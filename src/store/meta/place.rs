//! Whether the open database file is still the one at its path.
//!
//! A file that was removed or replaced while the server runs still takes commits, but the next start would
//! not find them. This is detected, changes are refused, and the file, which only this process has, is copied
//! to a new name.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::opener::FILE_NAME;
use crate::store::durable;
use crate::store::faulty::{Call, Faults};

/// The prefix of saved databases: `stowage.redb.saved-<number>`.
const SAVED: &str = "stowage.redb.saved-";
const PIECE: usize = 1 << 20;

/// Identifies a file (device and inode), whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(found: &fs::Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// The location of the open file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Here,
    /// It has another name now.
    Moved(PathBuf),
    /// It has no known name: it is lost when this process ends.
    Removed,
}

/// The path of the database file, and the file that this process has open.
pub(super) struct DatabaseFile {
    path: PathBuf,
    held: Mutex<Held>,
    displaced: AtomicBool,
    /// Whether the directory may still name the file of before a compaction after a power cut.
    unsynced: AtomicBool,
    saving: Mutex<Saving>,
}

/// An open file. It keeps the inode number, as long as it lives. It is opened separately from the database's
/// own descriptor, because a duplicate would share its lock.
#[derive(Clone)]
pub(super) struct Held {
    file: Arc<File>,
    id: FileId,
}

impl Held {
    /// Identifies the file.
    pub(super) const fn id(&self) -> FileId {
        self.id
    }

    /// The file that is at `path` now.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let file = crate::config::open_regular(path, OpenOptions::new().read(true))?;
        let id = FileId::of(&file.metadata()?);
        Ok(Self { file: Arc::new(file), id })
    }
}

#[derive(Default)]
struct Saving {
    thread: Option<JoinHandle<()>>,
    done: bool,
}

impl DatabaseFile {
    /// The file that is at the path now.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        let held = Mutex::new(Held::at(&path)?);
        let (displaced, unsynced, saving) =
            (AtomicBool::new(false), AtomicBool::new(false), Mutex::default());
        Ok(Self { path, held, displaced, unsynced, saving })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> FileId {
        self.held().id
    }

    /// Notes that another file was put at the path, which has everything that the one before has. Until
    /// [`DatabaseFile::settle`] succeeds, a power cut may bring the one before back.
    pub(super) fn replaced(&self, held: Held) {
        *self.held() = held;
        self.unsynced.store(true, Ordering::Release);
    }

    /// Makes durable which file is at the path. While this fails no change may be acknowledged.
    pub(super) fn settle(&self, faults: Option<&Arc<Faults>>) -> io::Result<()> {
        if self.unsynced.load(Ordering::Acquire) {
            if let Some(faults) = faults {
                faults.step(Call::DatabaseDirectory)?;
            }
            durable::sync_dir(durable::parent(&self.path))?;
            self.unsynced.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last check found that it was not at its path.
    pub(super) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Acquire)
    }

    /// Checks whether the file is at its path. Only the writer may call this, between commits, because
    /// nothing may be written to the file while it is copied.
    pub(super) fn look(&self) -> bool {
        let standing = self.standing();
        if standing == Standing::Here {
            if self.is_displaced() && self.is_not_saving() {
                self.displaced.store(false, Ordering::Release);
                // If the file disappears again, it has changes that the first copy does not have.
                self.saving().done = false;
                tracing::warn!(file = %self.path.display(), "the database file is at its path again: changes are taken");
            }
            return !self.is_displaced();
        }
        if !self.displaced.swap(true, Ordering::AcqRel) {
            self.tell(&standing);
        }
        if standing == Standing::Removed {
            self.start_saving();
        }
        false
    }

    /// The last check before the file is closed: a file without a name is copied first.
    pub(super) fn leave(&self) {
        self.look();
        let thread = self.saving().thread.take();
        if let Some(thread) = thread {
            // The copying thread logs its own result.
            let _ = thread.join();
        }
    }

    fn standing(&self) -> Standing {
        match fs::metadata(&self.path) {
            Ok(found) if FileId::of(&found) == self.id() => return Standing::Here,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // If the disk cannot say what is at the path, the next commit will fail on its own.
            Err(_) => return Standing::Here,
        }
        let name = fs::read_link(format!("/proc/self/fd/{}", self.held().file.as_raw_fd()));
        match name {
            Ok(name) if self.is_at(&name) => Standing::Moved(name),
            _ => Standing::Removed,
        }
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| FileId::of(&found) == self.id())
    }

    fn tell(&self, standing: &Standing) {
        let file = self.path.display();
        match standing {
            Standing::Here => {}
            Standing::Moved(to) => tracing::error!(
                %file,
                to = %to.display(),
                "the database file was moved away while the server runs: changes are refused, pulls go on; \
                 move it back, and put nothing else in its place"
            ),
            Standing::Removed => tracing::error!(
                %file,
                open = %format_args!("/proc/{}/fd/{}", std::process::id(), self.held().file.as_raw_fd()),
                "the database file was removed or replaced while the server runs: changes are refused, pulls go on; \
                 it is being saved beside its path"
            ),
        }
    }

    fn is_not_saving(&self) -> bool {
        self.saving().thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn start_saving(&self) {
        let mut saving = self.saving();
        if saving.done {
            return;
        }
        saving.done = true;
        let (file, path) = (Arc::clone(&self.held().file), self.path.clone());
        let lost = Arc::clone(&file);
        let save = move || tell_saved(&file, &path, save(&file, &path));
        match std::thread::Builder::new().name("stowage-save".to_owned()).spawn(save) {
            Ok(thread) => saving.thread = Some(thread),
            Err(error) => tell_saved(&lost, &self.path, Err(error)),
        }
    }

    fn saving(&self) -> std::sync::MutexGuard<'_, Saving> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_saved(file: &File, path: &Path, saved: io::Result<PathBuf>) {
    let database = path.display();
    match saved {
        Ok(saved) => tracing::error!(
            file = %database,
            saved = %saved.display(),
            "the removed database is saved with every acknowledged change; to go on with it, stop the server, then: \
             mv {} {database}",
            saved.display()
        ),
        Err(error) => tracing::error!(
            %error,
            file = %database,
            "the removed database could not be saved, and is lost when the server stops; copy it now: \
             cp /proc/{}/fd/{} {database}.saved",
            std::process::id(),
            file.as_raw_fd()
        ),
    }
}

/// Copies the open file, durably, to a new name beside its path.
fn save(file: &File, path: &Path) -> io::Result<PathBuf> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let number = saved_numbers(dir).into_iter().max().unwrap_or(0) + 1;
    let target = dir.join(format!("{SAVED}{number}"));
    // Written atomically, because an incomplete copy must not be mistaken for the database.
    durable::write_file(&target, 0o600, |target| copy(file, target)).map_err(|error| error.source)?;
    Ok(target)
}

fn copy(file: &File, target: &File) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    loop {
        match file.read_at(&mut piece, offset) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                target.write_all_at(&piece[..read], offset)?;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn saved_numbers(dir: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let number = |name: &str| name.strip_prefix(SAVED)?.parse().ok();
    entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)).collect()
}

/// The newest copy in this directory that an earlier run has saved because its file was removed.
pub fn saved_database(data_dir: &Path) -> Option<PathBuf> {
    let newest = saved_numbers(data_dir).into_iter().max()?;
    debug_assert!(SAVED.starts_with(FILE_NAME));
    Some(data_dir.join(format!("{SAVED}{newest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> DatabaseFile {
        let path = dir.join(FILE_NAME);
        fs::write(&path, "content").unwrap();
        DatabaseFile::new(path).unwrap()
    }

    #[test]
    fn a_file_that_was_removed_is_saved_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        assert!(place.look());
        fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        assert!(!place.look() && !place.look());
        place.leave();
        assert!(place.is_displaced());
        let saved = saved_database(dir.path()).unwrap();
        assert_eq!(fs::read(saved).unwrap(), b"content");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_name_does_not_count_as_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        fs::hard_link(dir.path().join(FILE_NAME), dir.path().join("other")).unwrap();
        fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        assert!(!place.look());
        place.leave();
        assert!(saved_database(dir.path()).is_some());
    }

    #[test]
    fn a_file_that_was_moved_is_no_copy_and_may_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        fs::rename(dir.path().join(FILE_NAME), dir.path().join("other")).unwrap();
        assert_eq!(place.standing(), Standing::Moved(dir.path().join("other")));
        assert!(!place.look());
        fs::write(dir.path().join(FILE_NAME), "something else").unwrap();
        assert!(!place.look());
        fs::rename(dir.path().join("other"), dir.path().join(FILE_NAME)).unwrap();
        assert!(place.look());
        assert_eq!(saved_database(dir.path()), None);
    }
}
