//! Walks through a blob tree on the disk.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, ReadDir};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::disk::Disk;
use super::layout::{self, BLOBS, QUARANTINE, Shard, UPLOADS, shard_path};
use super::{Aside, Entry, StagedEntry};
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::UploadId;
use crate::store::faulty::Call;

type Visit<'a> = &'a mut dyn FnMut(Entry) -> ControlFlow<()>;
type VisitName<'a> = &'a mut dyn FnMut(String) -> ControlFlow<()>;

/// See [`BlobStore::list`](super::BlobStore::list).
pub(super) fn blobs(disk: &Disk, root: &Path, visit: Visit<'_>) -> io::Result<()> {
    let blobs = root.join(BLOBS);
    let algorithm = |name: &OsStr| Algorithm::ALL.iter().any(|algorithm| name == algorithm.as_str());
    let known = |entry: &DirEntry| Ok(is_dir(entry)? && algorithm(&entry.file_name()));
    if strangers(disk, &blobs, known, &mut |name| visit(Entry::Stranger(name)))?.is_break() {
        return Ok(());
    }
    for algorithm in Algorithm::ALL {
        if walk_algorithm(disk, &blobs, algorithm, visit)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// See [`BlobStore::list_aside`](super::BlobStore::list_aside). What has another name is left out.
pub(super) fn quarantine(disk: &Disk, root: &Path) -> io::Result<Vec<Aside>> {
    let mut found = Vec::new();
    for entry in list(disk, &root.join(QUARANTINE))? {
        let entry = entry?;
        let Some((digest, number)) = entry.file_name().to_str().and_then(layout::in_quarantine) else {
            continue;
        };
        match entry.metadata() {
            Ok(file) if file.is_file() => found.push(Aside { digest, number, size: file.len() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// See [`Staging::list`](super::Staging::list).
pub(super) fn staged(disk: &Disk, root: &Path) -> io::Result<Vec<StagedEntry>> {
    let mut staged = Vec::new();
    for entry in list(disk, &root.join(UPLOADS))? {
        if let Some(found) = staged_entry(&entry?)? {
            staged.push(found);
        }
    }
    Ok(staged)
}

/// See [`Staging::strangers`](super::Staging::strangers).
pub(super) fn staged_strangers(disk: &Disk, root: &Path, visit: VisitName<'_>) -> io::Result<()> {
    let known = |entry: &DirEntry| Ok(upload_id(entry).is_some() && entry.file_type()?.is_file());
    strangers(disk, &root.join(UPLOADS), known, visit).map(|_| ())
}

fn walk_algorithm(
    disk: &Disk,
    blobs: &Path,
    algorithm: Algorithm,
    visit: Visit<'_>,
) -> io::Result<ControlFlow<()>> {
    let is_shard = |name: &OsStr| {
        let index = name.to_str().and_then(|name| u8::from_str_radix(name, 16).ok());
        index.is_some_and(|index| *name == *format!("{index:02x}"))
    };
    let known = |entry: &DirEntry| Ok(is_dir(entry)? && is_shard(&entry.file_name()));
    let dir = blobs.join(algorithm.as_str());
    if strangers(disk, &dir, known, &mut |name| visit(Entry::Stranger(name)))?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    for index in 0..=u8::MAX {
        let shard = Shard { algorithm, index };
        for entry in list(disk, &blobs.join(shard_path(shard)))? {
            let entry = entry?;
            let found = match blob_entry(&entry, shard) {
                Ok(found) => found.unwrap_or_else(|| Entry::Stranger(name_of(&entry))),
                // The entry was removed while the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if visit(found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The staged file of a directory entry; `None` if it is not one, or was removed meanwhile.
fn staged_entry(entry: &DirEntry) -> io::Result<Option<StagedEntry>> {
    let Some(id) = upload_id(entry) else { return Ok(None) };
    match entry.metadata() {
        Ok(found) if found.is_file() => {
            Ok(Some(StagedEntry { id, size: found.len(), modified: found.modified()? }))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The blob of a directory entry in a shard; `None` if the store would not look for a blob there.
fn blob_entry(entry: &DirEntry, shard: Shard) -> io::Result<Option<Entry>> {
    let name = entry.file_name();
    let digest =
        name.to_str().and_then(|hex| format!("{}:{hex}", shard.algorithm.as_str()).parse::<Digest>().ok());
    let Some(digest) = digest.filter(|digest| Shard::of(digest) == shard) else {
        return Ok(None);
    };
    let found = entry.metadata()?;
    if !found.is_file() {
        return Ok(None);
    }
    Ok(Some(Entry::Blob { digest, size: found.len(), modified: found.modified()? }))
}

fn strangers(
    disk: &Disk,
    dir: &Path,
    known: impl Fn(&DirEntry) -> io::Result<bool>,
    visit: VisitName<'_>,
) -> io::Result<ControlFlow<()>> {
    for entry in list(disk, dir)? {
        let entry = entry?;
        if !known(&entry)? && visit(name_of(&entry)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The name as text.
fn name_of(entry: &DirEntry) -> String {
    entry.path().display().to_string()
}

/// The names in a directory.
fn list(disk: &Disk, dir: &Path) -> io::Result<ReadDir> {
    disk.call(Call::List, || fs::read_dir(dir))
}

fn upload_id(entry: &DirEntry) -> Option<UploadId> {
    entry.file_name().to_str()?.parse().ok()
}

fn is_dir(entry: &DirEntry) -> io::Result<bool> {
    // Symbolic links are followed, as when the tree itself is opened.
    match fs::metadata(entry.path()) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
