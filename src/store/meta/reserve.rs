//! Reserved space on the disk, so that changes that free space can be committed when the disk is full: even a
//! deletion writes new pages before it frees old ones.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::error::StoreError;
use crate::config::open_own;

/// The name of its file in the data directory.
const FILE_NAME: &str = "reserve";
const LARGEST: u64 = 64 << 20;
/// How often the reserve is restored at most.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A file that occupies space until it is needed.
pub(super) struct Reserve {
    dir: PathBuf,
    state: Mutex<State>,
    /// Whether it should be created as soon as that succeeds.
    wanted: AtomicBool,
    /// Whether the disk has too little space for it.
    lacking: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Whether there should be a reserve.
    kept: bool,
    tried: Option<Instant>,
}

impl Reserve {
    /// The reserve of an earlier run in this directory; nothing is created yet.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            state: Mutex::default(),
            wanted: AtomicBool::new(false),
            lacking: AtomicBool::new(false),
        }
    }

    /// From now on it is created whenever the disk has space for it.
    pub(super) fn keep(&self) {
        self.state().kept = true;
        self.make();
        if self.is_lacking() {
            tracing::warn!(
                "no space on the disk for the reserve for deletions; pushes are refused until there is"
            );
        }
    }

    /// Whether the disk has too little space for it: it could never be created, or it was released and there
    /// is not enough space yet to restore it.
    pub(super) fn is_lacking(&self) -> bool {
        self.lacking.load(Ordering::Acquire)
    }

    /// Releases its space to the file system; false if there was none.
    pub(super) fn give_up(&self) -> bool {
        let state = self.state();
        let freed = open_own(&self.path(), OpenOptions::new().write(true)).and_then(|file| {
            let held = file.metadata()?.len() > 0;
            file.set_len(0)?;
            // Some file systems release freed blocks only when their journal is written.
            file.sync_all()?;
            Ok(held)
        });
        if state.kept {
            self.wanted.store(true, Ordering::Release);
            self.lacking.store(true, Ordering::Release);
        }
        match freed {
            Ok(true) => {
                tracing::warn!("the disk is full; using the reserve for deletions");
                true
            }
            Ok(false) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(%error, "could not use the reserve for deletions");
                false
            }
        }
    }

    /// Restores it if it is missing and there is space.
    pub(super) fn restore(&self) {
        let due = || self.state().tried.is_none_or(|tried| tried.elapsed() >= TRY_EVERY);
        if !self.wanted.load(Ordering::Acquire) || !due() {
            return;
        }
        let lacked = self.is_lacking();
        self.make();
        if lacked && !self.is_lacking() {
            tracing::warn!("the disk has free space again; pushes are accepted");
        }
    }

    fn make(&self) {
        let mut state = self.state();
        state.tried = Some(Instant::now());
        let (wanted, lacking) = match self.try_make() {
            Ok(()) => (false, false),
            Err(error) if matches!(StoreError::from_io(&error), StoreError::Full) => (true, true),
            Err(error) if is_impossible(&error) => {
                tracing::info!(%error, "the file system cannot reserve space for deletions");
                (false, false)
            }
            Err(error) => {
                // It is not known whether there is space: nothing is refused because of that, and the state
                // stays.
                tracing::debug!(%error, "could not reserve space for deletions; retrying");
                (true, self.is_lacking())
            }
        };
        self.wanted.store(wanted, Ordering::Release);
        self.lacking.store(lacking, Ordering::Release);
    }

    fn try_make(&self) -> io::Result<()> {
        let space = statvfs(&self.dir)?;
        let size = (space.f_blocks.saturating_mul(space.f_frsize) / 100).min(LARGEST);
        let available = space.f_bavail.saturating_mul(space.f_frsize);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = open_own(&self.path(), &mut options)?;
        if file.metadata()?.blocks().saturating_mul(512) >= size {
            return file.set_len(size);
        }
        // The reserve itself must not fill the disk.
        if available < size.saturating_mul(2) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = fallocate(&file, FallocateFlags::empty(), 0, size);
        if taken.is_err() {
            file.set_len(0)?;
        }
        Ok(taken?)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file system can never reserve space for a file (`fallocate(2)`).
fn is_impossible(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn held(dir: &Path) -> u64 {
        fs::metadata(dir.join(FILE_NAME)).map_or(0, |found| found.blocks() * 512)
    }

    #[test]
    fn room_is_kept_given_up_once_and_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path());
        assert!(!reserve.give_up());
        assert!(!reserve.is_lacking(), "no reserve was asked for");
        reserve.keep();
        let size = held(dir.path());
        assert!(size > 0 && size <= LARGEST, "{size}");
        assert!(!reserve.is_lacking());
        assert!(reserve.give_up());
        assert!(reserve.is_lacking());
        assert_eq!(held(dir.path()), 0);
        assert!(!reserve.give_up());
        reserve.restore();
        assert!(reserve.is_lacking(), "not tried more than once a second");
        reserve.state().tried = None;
        reserve.restore();
        assert!(!reserve.is_lacking());
        assert_eq!(held(dir.path()), size);
    }

    #[test]
    fn what_could_not_be_made_for_another_reason_than_room_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
        let reserve = Reserve::new(dir.path());
        reserve.keep();
        assert!(!reserve.is_lacking(), "nothing is known of the room");
        fs::remove_dir(dir.path().join(FILE_NAME)).unwrap();
        reserve.state().tried = None;
        reserve.restore();
        assert!(held(dir.path()) > 0);
    }

    #[test]
    fn what_an_earlier_run_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        Reserve::new(dir.path()).keep();
        let before = held(dir.path());
        let reserve = Reserve::new(dir.path());
        reserve.keep();
        assert_eq!(held(dir.path()), before);
        assert!(reserve.give_up());
    }
}
