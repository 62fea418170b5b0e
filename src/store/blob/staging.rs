//! The staged files of uploads, on the local disk, whatever store their blobs go to.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::disk::Disk;
use super::layout::{self, LayoutError, UPLOADS};
use super::staged::Staged;
use super::walk;
use super::writeback::Window;
use crate::model::digest::Digest;
use crate::model::names::UploadId;
use crate::store::faulty::Call;

/// The staged files. All functions may block.
#[derive(Debug)]
pub struct Staging {
    root: PathBuf,
    uploads: ArcSwap<OwnedFd>,
    disk: Arc<Disk>,
    /// The dirty bytes of all uploads.
    window: Arc<Window>,
}

/// A staged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedEntry {
    /// The upload that it belongs to.
    pub id: UploadId,
    /// Its size in bytes, synced or not.
    pub size: u64,
    /// The time of the last append.
    pub modified: SystemTime,
}

/// A staged file that is complete, durable and closed. [`Staged::seal`] makes one, and
/// [`BlobStore::put`](super::BlobStore::put) takes it. Dropping it leaves the file where it is.
#[derive(Debug)]
pub struct Sealed {
    pub(super) id: UploadId,
    pub(super) digest: Digest,
}

impl Staging {
    /// The staged files of the tree in `root`, whose directories were checked.
    pub(super) fn open(root: &Path, disk: Arc<Disk>) -> Result<Self, LayoutError> {
        Ok(Self {
            uploads: ArcSwap::from_pointee(layout::open_directory(root, UPLOADS)?),
            root: root.to_owned(),
            disk,
            window: Arc::default(),
        })
    }

    /// Creates an empty staged file for an upload; an error if it exists.
    ///
    /// Its directory is not synced: the file system makes the entry durable with the first sync of the file.
    /// A power cut may take an upload that was not put into a store, never a blob.
    pub fn create(&self, id: UploadId) -> io::Result<Staged> {
        let file = self.file(id, OFlags::CREATE | OFlags::EXCL)?;
        Ok(self.staged(id, file, 0, false))
    }

    /// Opens the staged file of an upload and truncates it to `offset`. The error is `UnexpectedEof` if it is
    /// shorter, `NotFound` if it does not exist.
    ///
    /// `synced`: whether [`Staged::is_synced`] when this process closed the file. What another process has
    /// left may have been truncated without a sync, which its length does not show.
    pub fn resume(&self, id: UploadId, offset: u64, synced: bool) -> io::Result<Staged> {
        let file = self.file(id, OFlags::empty())?;
        let size = self.disk.call(Call::Stat, || file.metadata())?.len();
        if size < offset {
            let message = format!("the staged file has {size} bytes, not the {offset} that were committed");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if size > offset {
            self.disk.call(Call::Truncate, || file.set_len(offset))?;
        }
        Ok(self.staged(id, file, offset, synced && size == offset))
    }

    fn staged(&self, id: UploadId, file: File, len: u64, synced: bool) -> Staged {
        Staged::new(id, file, Arc::clone(&self.disk), len, synced, Arc::clone(&self.window))
    }

    /// Unlinks a staged file; not an error if it does not exist.
    pub fn discard(&self, id: UploadId) -> io::Result<()> {
        let unlink = || unlinkat(&**self.uploads.load(), id.to_string(), AtFlags::empty());
        match self.disk.call(Call::Unlink, unlink) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The staged files. Names that are not upload ids are left to [`strangers`](Self::strangers).
    pub fn list(&self) -> io::Result<Vec<StagedEntry>> {
        walk::staged(&self.disk, &self.root)
    }

    /// Calls `visit` with the path of everything in the directory that is not a staged file, until it returns
    /// a break.
    pub fn strangers(&self, visit: &mut dyn FnMut(String) -> ControlFlow<()>) -> io::Result<()> {
        walk::staged_strangers(&self.disk, &self.root, visit)
    }

    /// Moves a sealed file to a path below another directory, and replaces what is there.
    pub(super) fn move_out(&self, sealed: &Sealed, to: impl AsFd, path: &str) -> Result<(), Errno> {
        let rename = || renameat(&**self.uploads.load(), sealed.id.to_string(), to, path);
        self.disk.call(Call::Rename, rename)
    }

    /// A sealed file, for a store that reads it.
    #[cfg(test)]
    pub(super) fn open_sealed(&self, sealed: &Sealed) -> io::Result<File> {
        self.file(sealed.id, OFlags::empty())
    }

    fn file(&self, id: UploadId, flags: OFlags) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | flags;
        let name = id.to_string();
        let call = if flags.contains(OFlags::CREATE) { Call::CreateStaged } else { Call::OpenStaged };
        let mode = Mode::from_raw_mode(0o640);
        let open = || self.disk.call(call, || openat(&**self.uploads.load(), &name, flags, mode));
        let opened = match open() {
            // The open directory was removed, so no file can be created in it.
            Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
                self.renew()?;
                open()
            }
            opened => opened,
        };
        Ok(opened.map_err(|error| layout::at_path(&self.root, UPLOADS, &name, error))?.into())
    }

    /// Opens the directory again, after it was removed, and perhaps created again, while the server runs.
    fn renew(&self) -> io::Result<()> {
        let path = self.root.join(UPLOADS);
        layout::repair(&self.root)?;
        self.uploads.store(Arc::new(File::open(&path)?.into()));
        tracing::warn!(dir = %path.display(), "the directory of uploads was removed and is used anew: uploads in it are lost");
        Ok(())
    }
}
