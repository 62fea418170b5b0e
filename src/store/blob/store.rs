//! What a blob store does, whatever keeps the bytes.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::digest::{Algorithm, Digest};
use crate::model::names::UploadId;

/// A content-addressed tree of files, and the staged files that become part of it.
///
/// Everything may block but [`BlobFile::try_read`]. Only the holder of a digest's lock publishes or
/// quarantines that digest.
pub trait BlobStore: Send + Sync + 'static {
    /// Makes an empty staged file for an upload; an error when there is one.
    ///
    /// Its directory entry is made durable only by the file system itself, with the first sync of the
    /// file. A power cut may take an upload that was not published, never a blob.
    fn create(&self, id: UploadId) -> io::Result<Box<dyn Staged>>;

    /// Opens the staged file of an upload and cuts it off at `offset`. `UnexpectedEof` when it is shorter,
    /// `NotFound` when there is none.
    fn resume(&self, id: UploadId, offset: u64) -> io::Result<Box<dyn Staged>>;

    /// Unlinks a staged file; fine when it is already gone.
    fn discard(&self, id: UploadId) -> io::Result<()>;

    /// Renames a staged, synced file to its digest's path, over whatever is there. The directory is not
    /// synced.
    fn publish(&self, id: UploadId, digest: &Digest) -> io::Result<()>;

    /// Makes the renames into and out of one shard directory durable.
    fn sync_shard(&self, shard: Shard) -> io::Result<()>;

    /// Opens a blob for reading; none when there is no file. It stays readable when it is replaced or
    /// quarantined.
    fn open(&self, digest: &Digest) -> io::Result<Option<Arc<dyn BlobFile>>>;

    /// Moves a blob's file out of the tree, beside earlier ones of that digest; false when there is no file.
    /// Nothing is deleted, and no directory is synced: a power cut may bring the file back.
    fn quarantine(&self, digest: &Digest) -> io::Result<bool>;

    /// The staged files. What is not named like an upload is left to [`walk`](Self::walk).
    fn uploads(&self) -> io::Result<Vec<StagedEntry>>;

    /// Calls `visit` for each blob file, shard by shard, and for everything among blobs and staged files that
    /// does not belong there, until it breaks. A file that comes or goes meanwhile may or may not be seen.
    fn walk(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<()>;

    /// How full the file system is.
    fn space(&self) -> io::Result<Space>;
}

/// The sync of one state of a staged file, to be run while more is appended.
pub type Syncer = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A file that an upload is writing. Dropping it leaves the file where it is.
///
/// After an error of `append`, `sync`, `truncate` or a [`Syncer`] all of these refuse: the kernel reports a
/// lost write once, so a later success would mean nothing. The file is to be discarded, or resumed at an
/// offset synced before.
pub trait Staged: Send {
    /// Appends all chunks in order.
    fn append(&mut self, chunks: &[Bytes]) -> io::Result<()>;

    /// Bytes appended so far.
    fn len(&self) -> u64;

    /// Whether nothing was appended yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes everything appended durable.
    fn sync(&mut self) -> io::Result<()>;

    /// The same for what is appended by now, at another time and on another thread. Its error is the file's
    /// error: `append` and `sync` refuse from then on.
    fn syncer(&self) -> io::Result<Syncer>;

    /// Reads a part back, as much as there is.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Cuts the file off at `len`, which must not be beyond its end.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A blob opened for reading.
pub trait BlobFile: Send + Sync {
    /// Bytes when it was opened.
    fn size(&self) -> u64;

    /// What the file looked like when it was opened.
    fn stamp(&self) -> Stamp;

    /// Reads up to `len` bytes without blocking; none when the disk would have to be asked. The answer may be
    /// short, and is empty only at the end of the blob.
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>>;

    /// Reads `len` bytes or up to the end of the blob. `UnexpectedEof` when the file was cut off after it was
    /// opened.
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

/// One of the directories that blobs of one algorithm are spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    /// The algorithm of its digests.
    pub algorithm: Algorithm,
    /// Their first byte.
    pub index: u8,
}

impl Shard {
    /// The shard in which a digest's blob lies.
    pub fn of(digest: &Digest) -> Self {
        Self { algorithm: digest.algorithm(), index: digest.shard() }
    }
}

/// What tells one state of a file from another without reading it. A rename changes it, so the stamp of a new
/// blob is taken from [`BlobStore::open`] after [`BlobStore::publish`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The file's number in its file system.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of its content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of its content, name or attributes, in nanoseconds since 1970.
    pub ctime_ns: i64,
}

/// A file among the uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedEntry {
    /// The upload that it belongs to.
    pub id: UploadId,
    /// Bytes, synced or not.
    pub size: u64,
    /// When it was appended to last.
    pub modified: SystemTime,
}

/// Something found by [`BlobStore::walk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A blob's file; nothing is known about its content.
    Blob {
        /// The digest that it is named after.
        digest: Digest,
        /// Bytes.
        size: u64,
        /// When its content was written last.
        modified: SystemTime,
    },
    /// Something that the store did not put there.
    Stranger(PathBuf),
}

/// How full a file system is, for an ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can still be written.
    pub available: u64,
    /// Files in all; 0 where the file system sets no number.
    pub inodes_total: u64,
    /// Files that can still be made; 0 where the file system sets no number.
    pub inodes_available: u64,
}
