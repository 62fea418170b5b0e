//! Rebuilds a store from its blobs and a dump of its metadata.

use std::fs::{self, DirBuilder};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Builder;
use uuid::Uuid;

use crate::registry::fsck::{self, Progress, Report};
use crate::registry::rebuild::{Differences, settle};
use crate::store::blob::{BlobStore, FileBlobs};
use crate::store::durable;
use crate::store::lock::DirLock;
use crate::store::meta::dump::{self, DumpError, DumpFile, Header, Totals};
use crate::store::meta::{FILE_NAME, Older};
use crate::store::open::{self, OpenError, WORKSHOP, io_at, was_cut_off};

/// The directory of keys, which belongs to a store beside the database and the blobs.
const KEYS: &str = "keys";
const ADMIN_PASSWORD: &str = "initial-admin-password";

/// The input and output of a rebuild.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// The file of rows of a dump; `None`: the newest usable one.
    pub from: Option<PathBuf>,
    /// The data directory of the old store.
    pub data_dir: PathBuf,
    /// The directory of its blobs.
    pub blob_dir: PathBuf,
    /// Hard-link the blobs into the new data directory; otherwise they stay where they are and belong to it
    /// from there.
    pub link_blobs: bool,
    /// The new data directory, empty or absent.
    pub into: PathBuf,
}

/// A dump that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedDump {
    /// Its file of rows.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A rebuilt store.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The dump that was used.
    pub dump: PathBuf,
    /// When it was made, in Unix milliseconds. Later changes are lost.
    pub dump_ms: u64,
    /// The last sequence number in it.
    pub sequence: u64,
    /// Rows in it.
    pub rows: u64,
    /// Bodies of manifests in it.
    pub manifests: u64,
    /// Rows and bodies in it that were already damaged when it was made.
    pub damaged: u64,
    /// Newer dumps that were not usable.
    pub refused: Vec<RefusedDump>,
    /// The new database.
    pub database: PathBuf,
    /// The directory of the blobs.
    pub blob_dir: PathBuf,
    /// Blobs that were hard-linked into the new data directory.
    pub linked: u64,
    /// The differences between the dump and the blobs.
    pub differences: Differences,
    /// The result of a check of the new store.
    pub check: Report,
}

/// Why a rebuild failed. The old store was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A directory or the new store cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new data directory is not empty.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The path ends with the name that rebuilds give their working directory. A new data directory of that
    /// name would later be mistaken for the leftover of one.
    #[error("{} is inside a directory that rebuilds work in", .0.display())]
    Workshop(PathBuf),
    /// A rebuild that was interrupted has left files in the new data directory.
    #[error("{} was left by an interrupted rebuild", .0.display())]
    CutOff(PathBuf),
    /// No dump is usable.
    #[error("there is no usable dump in {}", dir.display())]
    NoDump {
        /// The directory that was searched.
        dir: PathBuf,
        /// The dumps in it.
        refused: Vec<RefusedDump>,
        /// One of them was made by another version.
        unknown_format: bool,
    },
    /// Blobs cannot be hard-linked across file systems.
    #[error("{} is on a different file system than the blobs", .0.display())]
    OtherFileSystem(PathBuf),
}

/// Rebuilds a store from a dump and the blobs, while no server runs. `on_progress` is called with the
/// progress.
///
/// # Errors
/// [`RebuildError`]: the old store was not changed.
pub fn rebuild(request: &Rebuild, on_progress: &mut dyn FnMut(Progress)) -> Result<Rebuilt, RebuildError> {
    let Rebuild { data_dir, blob_dir, into, .. } = request;
    make_empty(into, data_dir)?;
    if request.link_blobs && device(into)? != device(blob_dir)? {
        return Err(RebuildError::OtherFileSystem(into.clone()));
    }
    let mut old = Vec::new();
    for dir in if data_dir == blob_dir { vec![data_dir] } else { vec![data_dir, blob_dir] } {
        old.extend(lock_old(dir)?);
    }
    let known: Vec<Uuid> = old.iter().filter_map(DirLock::store_id).collect();
    let Chosen { path, header, totals, refused } = choose(request, &known, on_progress)?;
    open::judge(into)?;
    let workshop = begin(into)?;
    let mut new = open::acquire(into)?;
    new.set_store_id(header.store_id).map_err(io_at(into))?;
    let total = totals.rows + totals.bodies;
    dump::restore(&path, &workshop, &mut |done| {
        on_progress(Progress { stage: "rows", done, total, bytes: 0 });
    })
    .map_err(|error| dump_failed(&path, error))?;
    let (blob_dir, linked) =
        if request.link_blobs { (into, link(blob_dir, into, on_progress)?) } else { (blob_dir, 0) };
    copy_secrets(data_dir, into)?;
    let (differences, check) = finish(&workshop, blob_dir, on_progress)?;
    put_in_place(&workshop, into)?;
    for lock in &mut old {
        if lock.dir() == blob_dir && lock.store_id().is_none() {
            lock.set_store_id(header.store_id).map_err(io_at(blob_dir))?;
        }
        if lock.clean() {
            // Without the mark, the next start only checks more.
            let _ = lock.mark_clean();
        }
    }
    let _ = new.mark_clean();
    Ok(Rebuilt {
        dump: path,
        dump_ms: header.wall_ms,
        sequence: header.sequence,
        rows: totals.rows,
        manifests: totals.bodies,
        damaged: totals.damaged,
        refused,
        database: into.join(FILE_NAME),
        blob_dir: blob_dir.clone(),
        linked,
        differences,
        check,
    })
}

/// Creates the new data directory, or accepts one without files.
fn make_empty(into: &Path, data_dir: &Path) -> Result<(), RebuildError> {
    if into.components().any(|part| part.as_os_str() == WORKSHOP) {
        return Err(RebuildError::Workshop(into.to_owned()));
    }
    let there = into.try_exists().map_err(io_at(into))?;
    DirBuilder::new().recursive(true).mode(0o750).create(into).map_err(io_at(into))?;
    if let (false, Some(parent)) = (there, into.parent()) {
        durable::sync_dir(parent).map_err(io_at(parent))?;
    }
    // The error tells the operator to remove the directory. So it must not be the old store's, nor one in
    // which another rebuild works: `acquire` fails if that holds the lock.
    if was_cut_off(into) && into != data_dir {
        open::acquire(into)?;
        return Err(RebuildError::CutOff(into.to_owned()));
    }
    for entry in fs::read_dir(into).map_err(io_at(into))? {
        // Every new ext4 file system has this.
        if entry.map_err(io_at(into))?.file_name() != "lost+found" {
            return Err(RebuildError::NotEmpty(into.to_owned()));
        }
    }
    Ok(())
}

/// Creates the working directory first, so that no file of an incomplete store exists without it.
fn begin(into: &Path) -> Result<PathBuf, OpenError> {
    let workshop = into.join(WORKSHOP);
    DirBuilder::new().mode(0o700).create(&workshop).map_err(io_at(&workshop))?;
    durable::sync_dir(into).map_err(io_at(into))?;
    Ok(workshop)
}

fn device(dir: &Path) -> Result<u64, OpenError> {
    fs::metadata(dir).map(|found| found.dev()).map_err(io_at(dir))
}

/// Locks a directory of the old store, so that no server starts on it. On a read-only file system no server
/// can run, and no lock is needed.
fn lock_old(dir: &Path) -> Result<Option<DirLock>, OpenError> {
    match open::acquire(dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(None),
        Err(error) => Err(error),
    }
}

struct Chosen {
    path: PathBuf,
    header: Header,
    totals: Totals,
    refused: Vec<RefusedDump>,
}

/// The dump that was named, or the newest that is complete and belongs to this store.
fn choose(
    request: &Rebuild,
    known: &[Uuid],
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Chosen, RebuildError> {
    let dir = request.data_dir.join(dump::DIR_NAME);
    let candidates: Vec<PathBuf> = if let Some(path) = &request.from {
        vec![path.clone()]
    } else {
        let found = dump::list(&dir).map_err(|error| dump_failed(&dir, error))?;
        found.into_iter().map(|DumpFile { path, .. }| path).collect()
    };
    let (mut refused, mut unknown_format) = (Vec::new(), false);
    for (done, path) in (0..).zip(candidates) {
        on_progress(Progress { stage: "dumps", done, total: 0, bytes: 0 });
        let reason = match dump::check(&path) {
            Ok((header, _)) if known.iter().any(|id| *id != header.store_id) => {
                "it is of another store".to_owned()
            }
            Ok((header, totals)) => return Ok(Chosen { path, header, totals, refused }),
            Err(error) => {
                unknown_format |= matches!(error, DumpError::UnknownFormat { .. });
                error.to_string()
            }
        };
        refused.push(RefusedDump { path, reason });
    }
    Err(RebuildError::NoDump { dir: request.from.clone().unwrap_or(dir), refused, unknown_format })
}

fn dump_failed(path: &Path, error: DumpError) -> OpenError {
    match error {
        DumpError::Io { path, source } => OpenError::Io { path, source },
        DumpError::Damaged { path, detail } => OpenError::Damaged { path, detail },
        DumpError::Store(error) => error.on_opening(path),
        other => OpenError::Io { path: path.to_owned(), source: io::Error::other(other) },
    }
}

fn link(from: &Path, into: &Path, on_progress: &mut dyn FnMut(Progress)) -> Result<u64, RebuildError> {
    FileBlobs::create_layout(into).map_err(|error| open::layout(into, error))?;
    let blobs = FileBlobs::open(from).map_err(|error| open::layout(from, error))?;
    let linked = blobs.link_into(into, &mut |done| {
        on_progress(Progress { stage: "links", done, total: 0, bytes: 0 });
    });
    linked.map_err(|error| match error.kind() {
        io::ErrorKind::CrossesDevices => RebuildError::OtherFileSystem(into.to_owned()),
        _ => io_at(into)(error).into(),
    })
}

/// Copies the signing key, so that clients need not sign in again, and the first admin's password file.
fn copy_secrets(from: &Path, into: &Path) -> Result<(), OpenError> {
    let mut files = vec![PathBuf::from(ADMIN_PASSWORD)];
    if let Ok(entries) = fs::read_dir(from.join(KEYS)) {
        let keys = into.join(KEYS);
        DirBuilder::new().mode(0o700).create(&keys).map_err(io_at(&keys))?;
        for entry in entries {
            let entry = entry.map_err(io_at(&from.join(KEYS)))?;
            files.push(Path::new(KEYS).join(entry.file_name()));
        }
    }
    for file in files {
        let (old, new) = (from.join(&file), into.join(&file));
        let content = match fs::read(&old) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_at(&old)(error)),
        };
        let written = durable::write_file(&new, 0o600, |file| io::Write::write_all(file, &content));
        written.map_err(|error| OpenError::io(&error.path, error.source))?;
    }
    Ok(())
}

/// Compares the new database with the blobs, computes its usage and checks all of it.
fn finish(
    workshop: &Path,
    blob_dir: &Path,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(Differences, Report), RebuildError> {
    let files = FileBlobs::open(blob_dir).map_err(|error| open::layout(blob_dir, error))?;
    let staging = Arc::clone(files.staging());
    let blobs: Arc<dyn BlobStore> = Arc::new(files);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let runtime = runtime.map_err(io_at(workshop))?;
    let meta = open::open_meta(
        workshop,
        (open::OFFLINE_CACHE, Older::Migrate),
        &blobs,
        runtime.handle().clone(),
        None,
    )?;
    let database = workshop.join(FILE_NAME);
    let differences = settle(&meta, blobs.as_ref(), runtime.handle(), on_progress);
    let differences = differences.map_err(|error| error.on_opening(&database))?;
    let mode = fsck::Mode { deep: false, others_write: false };
    let check = fsck::check(&meta, &staging, blobs.as_ref(), mode, &mut |step| {
        on_progress(step);
        ControlFlow::Continue(())
    });
    let check = check.map_err(|error| error.on_opening(&database))?;
    meta.close();
    Ok((differences, check))
}

/// Moves the finished database to its final name. From then on the new data directory is a store.
fn put_in_place(workshop: &Path, into: &Path) -> Result<(), OpenError> {
    let database = into.join(FILE_NAME);
    // A crash after the working directory is removed and before the rename would leave a store without its
    // database, so the rename comes first.
    durable::put_in_place(&workshop.join(FILE_NAME), &database).map_err(io_at(&database))?;
    fs::remove_dir(workshop).map_err(io_at(workshop))?;
    durable::sync_dir(into).map_err(io_at(into))
}
