//! Checks the directories of a store before it is opened: their owner, their ids and their locks. A refused
//! start creates nothing in them, because they may be mount points whose disks are not mounted.

use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::{fs, io};

use super::workshop;
use crate::store::blob::{BlobStore, Entry, FileBlobs, LayoutError};
use crate::store::filesystem::{self, Verdict};
use crate::store::lock::{self, DirLock, LOCK_FILE, LockError};
use crate::store::open_error::{OpenError, io_at};
use crate::store::{durable, meta};

/// Write permission for all users.
const OTHERS_WRITE: u32 = 0o002;

/// The locked directories of a store.
pub(super) struct Locked {
    pub(super) locks: Vec<DirLock>,
    /// Whether there was no database.
    pub(super) new: bool,
}

/// Locks the directories for a server, which creates them if there is no store yet.
pub(super) fn for_server(data_dir: &Path, blob_dir: &Path) -> Result<Locked, OpenError> {
    for dir in each(data_dir, blob_dir) {
        refuse_others(dir)?;
    }
    let was_here = has_database(data_dir)? || each(data_dir, blob_dir).any(|dir| lock::peek(dir).is_some());
    if was_here {
        return locked(data_dir, blob_dir);
    }
    for dir in each(data_dir, blob_dir) {
        judge(dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir))?;
    }
    let mut locks = Vec::new();
    for dir in each(data_dir, blob_dir) {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(io_at(dir))?;
        locks.push(acquire(dir)?);
    }
    if workshop::was_cut_off(data_dir) {
        return Err(OpenError::CutOffRebuild { path: data_dir.to_owned() });
    }
    // Another process may have created a store while this one waited for the lock.
    let new = !has_database(data_dir)?;
    if new {
        FileBlobs::create_layout(blob_dir).map_err(|error| layout(blob_dir, error))?;
    }
    Ok(Locked { locks, new })
}

/// Locks the directories of an existing store, and changes nothing else.
pub(super) fn locked(data_dir: &Path, blob_dir: &Path) -> Result<Locked, OpenError> {
    let mut locks = Vec::new();
    for dir in each(data_dir, blob_dir) {
        if dir == data_dir {
            refuse_without_database(dir)?;
        } else if !FileBlobs::is_tree(dir) {
            return Err(OpenError::BlobsMissing { path: dir.to_owned() });
        }
        judge(dir)?;
        locks.push(acquire(dir)?);
    }
    if workshop::was_cut_off(data_dir) {
        return Err(OpenError::CutOffRebuild { path: data_dir.to_owned() });
    }
    refuse_without_database(data_dir)?;
    Ok(Locked { locks, new: false })
}

/// Compares the ids in the locks with that of the database, and writes it to locks that have none.
pub(super) fn match_ids(
    locks: &mut [DirLock],
    data_dir: &Path,
    meta: &meta::Meta,
    blobs: &dyn BlobStore,
) -> Result<(), OpenError> {
    for lock in locks {
        let dir = lock.dir().to_owned();
        match lock.store_id() {
            Some(id) if id != meta.store_id() => return Err(OpenError::ForeignBlobs { path: dir }),
            Some(_) => {}
            // The database itself proves that the data directory is its own.
            None if dir != data_dir && !meta.created() && has_blobs(blobs).map_err(io_at(&dir))? => {
                return Err(OpenError::NamelessBlobs { path: dir, data_dir: data_dir.to_owned() });
            }
            None => {
                // The start that created the database may have been interrupted before this.
                durable::sync_dir(data_dir).map_err(io_at(data_dir))?;
                lock.set_store_id(meta.store_id()).map_err(io_at(&dir))?;
            }
        }
    }
    Ok(())
}

/// Each directory once.
fn each<'a>(data_dir: &'a Path, blob_dir: &'a Path) -> impl Iterator<Item = &'a Path> {
    std::iter::once(data_dir).chain((data_dir != blob_dir).then_some(blob_dir))
}

fn has_database(data_dir: &Path) -> Result<bool, OpenError> {
    let database = data_dir.join(meta::FILE_NAME);
    // A dangling symbolic link means that the database is missing, not that a new one may be created.
    match fs::symlink_metadata(&database) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_at(&database)(error)),
    }
}

/// Refuses a store whose database is missing: a new database would make every blob garbage.
fn refuse_without_database(data_dir: &Path) -> Result<(), OpenError> {
    let path = data_dir.join(meta::FILE_NAME);
    if path.try_exists().map_err(io_at(&path))? || workshop::was_cut_off(data_dir) {
        return Ok(());
    }
    Err(OpenError::DatabaseMissing { path, saved: meta::saved_database(data_dir) })
}

fn has_blobs(blobs: &dyn BlobStore) -> io::Result<bool> {
    let mut found = false;
    blobs.list(&mut |entry| {
        found |= matches!(entry, Entry::Blob { .. });
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// Refuses a store of another user, whose server could not use what this one would create in it, and a
/// directory in which every user of the computer could replace files.
fn refuse_others(dir: &Path) -> Result<(), OpenError> {
    let caller = rustix::process::geteuid().as_raw();
    for file in [meta::FILE_NAME, LOCK_FILE] {
        // The owner of the directory alone says nothing: a container's volume may belong to any user.
        if let Ok(found) = fs::metadata(dir.join(file))
            && found.uid() != caller
        {
            return Err(OpenError::OtherOwner { path: dir.to_owned(), owner: found.uid(), caller });
        }
    }
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() && found.mode() & OTHERS_WRITE != 0 => {
            Err(OpenError::OthersWrite { path: dir.to_owned(), mode: found.mode() & 0o7777 })
        }
        // A missing file will be created, and one that cannot be read is refused when it is locked.
        _ => Ok(()),
    }
}

/// Refuses a file system on which the store cannot rely, and warns about one that may lose its content.
pub fn judge(dir: &Path) -> Result<(), OpenError> {
    match filesystem::check(dir).map_err(io_at(dir))? {
        Verdict::Fine => Ok(()),
        Verdict::Warn(kind) => {
            tracing::warn!(dir = %dir.display(), kind, "the data is on a file system that may not last");
            Ok(())
        }
        Verdict::Refuse(kind) => Err(OpenError::FileSystem { path: dir.to_owned(), kind: kind.to_owned() }),
    }
}

/// Locks a directory.
pub fn acquire(dir: &Path) -> Result<DirLock, OpenError> {
    DirLock::acquire(dir).map_err(|error| match error {
        LockError::HeldBy { pid } => {
            OpenError::InUse { path: dir.to_owned(), pid: (pid != 0).then_some(pid) }
        }
        LockError::Io(source) => OpenError::Io { path: dir.join(LOCK_FILE), source },
    })
}

/// The error for the blob tree in `dir`.
pub fn layout(dir: &Path, error: LayoutError) -> OpenError {
    match error {
        LayoutError::Io { path, source } => OpenError::Io { path, source },
        LayoutError::Missing(path) => OpenError::BlobsMissing { path },
        other @ LayoutError::OtherFileSystem(_) => {
            OpenError::Io { path: dir.to_owned(), source: other.into() }
        }
    }
}

/// Whether the last server closed the data directory cleanly. Asking changes nothing, also if the start will
/// be refused.
pub fn was_clean(data_dir: &Path) -> bool {
    if !data_dir.join(LOCK_FILE).exists() || refuse_others(data_dir).is_err() {
        return true;
    }
    // If the directory cannot be locked, the start itself reports it.
    DirLock::acquire(data_dir).map_or(true, |lock| {
        let clean = lock.clean();
        if clean {
            let _ = lock.mark_clean();
        }
        clean
    })
}
