//! The blob store on a local file system.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustix::fs::{AtFlags, Mode, OFlags, fstatvfs, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::disk::Disk;
use super::layout::{self, BLOBS, QUARANTINE, UPLOADS};
use super::reader::{self, OpenBlob};
use super::staged::StagedFile;
use super::writeback::Window;
use super::{BlobFile, BlobStore, Entry, LayoutError, Shard, Space, Staged, StagedEntry, walk};
use crate::model::digest::Digest;
use crate::model::names::UploadId;
use crate::store::faulty::{Call, Faults};

/// Blobs as files below one directory.
///
/// Files are named relative to three open directories. Opening a blob takes 3.3 us so, 4.3 us by its whole
/// path, and 3.0 us with an open directory for each of the 768 shards, which is not worth their descriptors.
#[derive(Debug)]
pub struct FileBlobs {
    root: PathBuf,
    blobs: OwnedFd,
    uploads: ArcSwap<OwnedFd>,
    /// Held while a file moves in, so that two files never get one name.
    quarantine: Mutex<OwnedFd>,
    disk: Arc<Disk>,
    /// How far uploads are ahead of the disk.
    window: Arc<Window>,
}

impl FileBlobs {
    /// Makes the directories of a new blob tree in `root`, durably; those that are there stay as they are.
    pub fn create_layout(root: &Path) -> Result<(), LayoutError> {
        layout::create(root)
    }

    /// Whether there is a blob tree in `root`.
    pub fn is_tree(root: &Path) -> bool {
        root.join(BLOBS).is_dir()
    }

    /// Opens the blob tree in `root` and makes again what is missing of its inner directories.
    ///
    /// The caller holds the lock of `root`. An empty `root` is an error, not a new tree: it may be the mount
    /// point of a disk that is not there.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        Self::open_with(root, None)
    }

    /// The same on a disk that a test watches.
    #[doc(hidden)]
    pub fn open_with(root: &Path, faults: Option<Arc<Faults>>) -> Result<Self, LayoutError> {
        layout::repair(root)?;
        let open = |name: &str| {
            let path = root.join(name);
            match File::open(&path) {
                Ok(dir) => Ok(OwnedFd::from(dir)),
                Err(source) => Err(LayoutError::Io { path, source }),
            }
        };
        Ok(Self {
            blobs: open(BLOBS)?,
            uploads: ArcSwap::from_pointee(open(UPLOADS)?),
            quarantine: Mutex::new(open(QUARANTINE)?),
            root: root.to_owned(),
            disk: Disk::new(faults),
            window: Arc::default(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the directory of uploads again, after it was removed and perhaps made again under the running server.
    fn renew_uploads(&self) -> io::Result<()> {
        let path = self.root.join(UPLOADS);
        layout::repair(&self.root)?;
        self.uploads.store(Arc::new(File::open(&path)?.into()));
        tracing::warn!(dir = %path.display(), "the directory of uploads was removed and is used anew: uploads in it are lost");
        Ok(())
    }

    fn stage(&self, file: File, len: u64) -> StagedFile {
        StagedFile::new(file, Arc::clone(&self.disk), len, Arc::clone(&self.window))
    }

    /// The error with the file that it is about: the kind stays, for what is done about it.
    fn at(&self, part: &str, name: &str, error: Errno) -> io::Error {
        let error = io::Error::from(error);
        let path = self.root.join(part).join(name);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    }

    fn staged(&self, id: UploadId, flags: OFlags) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | flags;
        let name = id.to_string();
        let call = if flags.contains(OFlags::CREATE) { Call::CreateStaged } else { Call::OpenStaged };
        let mode = Mode::from_raw_mode(0o640);
        let open = || self.disk.call(call, || openat(&**self.uploads.load(), &name, flags, mode));
        let opened = match open() {
            // No file can be made in a directory that was removed, which stays open all the same.
            Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
                self.renew_uploads()?;
                open()
            }
            opened => opened,
        };
        Ok(opened.map_err(|error| self.at(UPLOADS, &name, error))?.into())
    }
}

impl BlobStore for FileBlobs {
    fn create(&self, id: UploadId) -> io::Result<Box<dyn Staged>> {
        let file = self.staged(id, OFlags::CREATE | OFlags::EXCL)?;
        Ok(Box::new(self.stage(file, 0)))
    }

    fn resume(&self, id: UploadId, offset: u64) -> io::Result<Box<dyn Staged>> {
        let file = self.staged(id, OFlags::empty())?;
        let size = self.disk.call(Call::Stat, || file.metadata())?.len();
        if size < offset {
            let message = format!("the staged file has {size} bytes, not the {offset} that were committed");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        if size > offset {
            self.disk.call(Call::Truncate, || file.set_len(offset))?;
        }
        Ok(Box::new(self.stage(file, offset)))
    }

    fn discard(&self, id: UploadId) -> io::Result<()> {
        let unlink = || unlinkat(&**self.uploads.load(), id.to_string(), AtFlags::empty());
        match self.disk.call(Call::Unlink, unlink) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(io::Error::from(error)),
        }
    }

    fn publish(&self, id: UploadId, digest: &Digest) -> io::Result<()> {
        let path = layout::blob_path(digest);
        let rename = || renameat(&**self.uploads.load(), id.to_string(), &self.blobs, &path);
        self.disk.call(Call::Rename, rename).map_err(|error| self.at(BLOBS, &path, error))
    }

    fn sync_shard(&self, shard: Shard) -> io::Result<()> {
        if cfg!(feature = "mutant-no-dir-sync") {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let open = || openat(&self.blobs, layout::shard_path(shard), flags, Mode::empty());
        let directory = File::from(self.disk.call(Call::OpenDirectory, open)?);
        self.disk.call(Call::SyncDirectory, || directory.sync_all())
    }

    fn open(&self, digest: &Digest) -> io::Result<Option<Arc<dyn BlobFile>>> {
        // What is not a file, a FIFO say, must not hold the thread that opens it; `OpenBlob` refuses it.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let path = layout::blob_path(digest);
        match self.disk.call(Call::OpenBlob, || openat(&self.blobs, &path, flags, Mode::empty())) {
            Ok(file) => Ok(Some(Arc::new(OpenBlob::new(file.into(), Arc::clone(&self.disk))?))),
            Err(Errno::NOENT) => Ok(None),
            // A symbolic link or a socket.
            Err(Errno::LOOP | Errno::NXIO) => Err(reader::not_a_file()),
            Err(error) => Err(self.at(BLOBS, &path, error)),
        }
    }

    fn quarantine(&self, digest: &Digest) -> io::Result<bool> {
        let quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        let mut n = 0;
        let name = loop {
            let name = layout::quarantine_name(digest, n);
            let look = || statat(&*quarantine, &name, AtFlags::SYMLINK_NOFOLLOW);
            match self.disk.call(Call::Stat, look) {
                Ok(_) => n += 1,
                Err(Errno::NOENT) => break name,
                Err(error) => return Err(error.into()),
            }
        };
        let rename = || renameat(&self.blobs, layout::blob_path(digest), &*quarantine, name);
        match self.disk.call(Call::Rename, rename) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn uploads(&self) -> io::Result<Vec<StagedEntry>> {
        let mut staged = Vec::new();
        for entry in walk::list(&self.disk, &self.root.join(UPLOADS))? {
            if let Some(found) = walk::staged_entry(&entry?)? {
                staged.push(found);
            }
        }
        Ok(staged)
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<()> {
        walk::walk(&self.disk, &self.root, visit)
    }

    fn space(&self) -> io::Result<Space> {
        let found = self.disk.call(Call::Space, || fstatvfs(&self.blobs))?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            available: found.f_bavail.saturating_mul(found.f_frsize),
            inodes_total: found.f_files,
            inodes_available: found.f_favail,
        })
    }
}
