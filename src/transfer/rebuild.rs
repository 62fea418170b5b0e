//! Making a store again from a dump of its metadata and its blobs.

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

/// What else belongs to a store, beside database and blobs.
const KEYS: &str = "keys";
const ADMIN_PASSWORD: &str = "initial-admin-password";

/// What is to be made of what.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// The file of rows of a dump; none: the newest that is good for it.
    pub from: Option<PathBuf>,
    /// The data directory of the store that was.
    pub data_dir: PathBuf,
    /// Where its blobs are.
    pub blob_dir: PathBuf,
    /// Blobs get second names in the new data directory; else they stay where they are and belong to it
    /// there.
    pub link_blobs: bool,
    /// The new data directory, empty or not there yet.
    pub into: PathBuf,
}

/// A dump that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedDump {
    /// Its file of rows.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

/// A store that was made again.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The dump that it was made of.
    pub dump: PathBuf,
    /// When that was made, in Unix milliseconds. What came later is lost.
    pub dump_ms: u64,
    /// The last sequence number in it.
    pub sequence: u64,
    /// Rows in it.
    pub rows: u64,
    /// Bodies of manifests in it.
    pub manifests: u64,
    /// Rows and bodies in it that were damaged already.
    pub damaged: u64,
    /// Newer dumps that were no good.
    pub refused: Vec<RefusedDump>,
    /// The new database.
    pub database: PathBuf,
    /// Where the blobs are now.
    pub blob_dir: PathBuf,
    /// Blobs that got a second name in the new data directory.
    pub linked: u64,
    /// What the dump and the blobs do not have in common.
    pub differences: Differences,
    /// What a check finds now.
    pub check: Report,
}

/// Why nothing was made. The store that was is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A directory or the new store cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something where the new data directory is to be.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A rebuild works in a place of this name: what is made in there would be taken for something it has
    /// left.
    #[error("{} is inside a directory that rebuilds work in", .0.display())]
    Workshop(PathBuf),
    /// An earlier run that was cut off has left something where the new data directory is to be.
    #[error("{} was left by an interrupted rebuild", .0.display())]
    CutOff(PathBuf),
    /// No dump is good for it.
    #[error("there is no usable dump in {}", dir.display())]
    NoDump {
        /// Where they were looked for.
        dir: PathBuf,
        /// Those that are there.
        refused: Vec<RefusedDump>,
        /// One of them was made by another version.
        unknown_format: bool,
    },
    /// Blobs cannot have names on two file systems.
    #[error("{} is on a different file system than the blobs", .0.display())]
    OtherFileSystem(PathBuf),
}

/// Makes a store from a dump and the blobs, while no server runs. `on_progress` is told how far it is.
///
/// # Errors
/// [`RebuildError`]: the store that was is as it was.
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
            // Not marked, the next start only looks more closely.
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

/// Makes the new data directory, which must have nothing in it.
fn make_empty(into: &Path, data_dir: &Path) -> Result<(), RebuildError> {
    if into.components().any(|part| part.as_os_str() == WORKSHOP) {
        return Err(RebuildError::Workshop(into.to_owned()));
    }
    let there = into.try_exists().map_err(io_at(into))?;
    DirBuilder::new().recursive(true).mode(0o750).create(into).map_err(io_at(into))?;
    if let (false, Some(parent)) = (there, into.parent()) {
        durable::sync_dir(parent).map_err(io_at(parent))?;
    }
    // The directory of the old store is never one to be removed, nor is one that another run works in.
    if was_cut_off(into) && into != data_dir {
        open::acquire(into)?;
        return Err(RebuildError::CutOff(into.to_owned()));
    }
    for entry in fs::read_dir(into).map_err(io_at(into))? {
        // Every new ext4 has this.
        if entry.map_err(io_at(into))?.file_name() != "lost+found" {
            return Err(RebuildError::NotEmpty(into.to_owned()));
        }
    }
    Ok(())
}

/// Makes the workshop, before anything that could be taken for part of a store.
fn begin(into: &Path) -> Result<PathBuf, OpenError> {
    let workshop = into.join(WORKSHOP);
    DirBuilder::new().mode(0o700).create(&workshop).map_err(io_at(&workshop))?;
    durable::sync_dir(into).map_err(io_at(into))?;
    Ok(workshop)
}

fn device(dir: &Path) -> Result<u64, OpenError> {
    fs::metadata(dir).map(|found| found.dev()).map_err(io_at(dir))
}

/// Keeps servers from a directory of the old store. No server works where nothing can be written.
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

/// The dump that was named, or the newest that is whole and belongs to this store.
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

/// Copies what signs tokens, so that clients need not sign in again, and the first admin's password.
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
        written.map_err(io_at(&new))?;
    }
    Ok(())
}

/// Compares the new database with the blobs, counts its usage and checks all of it.
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

/// Gives the database its name, and with it the new data directory its store.
fn put_in_place(workshop: &Path, into: &Path) -> Result<(), OpenError> {
    let database = into.join(FILE_NAME);
    // Without the workshop, and without the database, it would be told as a store whose database is lost.
    durable::put_in_place(&workshop.join(FILE_NAME), &database).map_err(io_at(&database))?;
    fs::remove_dir(workshop).map_err(io_at(workshop))?;
    durable::sync_dir(into).map_err(io_at(into))
}
