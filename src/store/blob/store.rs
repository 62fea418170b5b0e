//! The interface of a blob store.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Sealed;
use crate::model::digest::Digest;

/// Blobs under their digests. `contract.rs` defines, as tests, what every implementation must do.
///
/// Every function may block except [`BlobFile::try_read`]. Only the holder of a digest's lock may put or
/// remove that digest.
pub trait BlobStore: Send + Sync + 'static {
    /// Puts a sealed file in the place of its digest, and replaces what is there. A reader never sees a part
    /// of it.
    ///
    /// It is durable when [`Placed::barrier`] has been synced. After an error either the old blob or the new
    /// one is in the place, and the staged file may still exist.
    fn put(&self, sealed: Sealed) -> io::Result<Placed>;

    /// Makes everything durable that was put with this barrier.
    fn sync(&self, barrier: Barrier) -> io::Result<()>;

    /// Opens a blob for reading; `None` if it does not exist. It stays readable when it is replaced or
    /// removed. The error is `InvalidData` if what is in its place can never be read as a blob.
    fn open(&self, digest: &Digest) -> io::Result<Option<Arc<dyn BlobFile>>>;

    /// Removes a blob; none of it is left, or there was none. Until the barrier that it returns has been
    /// synced, a power cut may bring it back.
    fn remove(&self, digest: &Digest) -> io::Result<Option<Barrier>>;

    /// Takes a blob out of the store and keeps its bytes in quarantine, beside what is kept there of this
    /// digest; none when there is no blob. Until its barrier has been synced, a power cut may bring it back.
    fn set_aside(&self, digest: &Digest) -> io::Result<Option<SetAside>>;

    /// All that is in quarantine.
    fn list_aside(&self) -> io::Result<Vec<Aside>>;

    /// Removes bytes from quarantine; false when they are not there.
    fn discard_aside(&self, digest: &Digest, number: u32) -> io::Result<bool>;

    /// Calls `visit` for each blob, and for everything else among them, until it returns a break. A blob that
    /// is put or removed meanwhile may or may not be listed.
    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<()>;

    /// The size and the free space of the store.
    fn space(&self) -> io::Result<Space>;
}

/// A blob that is open for reading.
pub trait BlobFile: Send + Sync {
    /// Its size in bytes when it was opened.
    fn size(&self) -> u64;

    /// Its stamp when it was opened.
    fn stamp(&self) -> Stamp;

    /// Reads up to `len` bytes without blocking; `None` if that would need the disk. The result may be short,
    /// and is empty only at the end of the blob.
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>>;

    /// Reads `len` bytes, or up to the end of the blob. The error is `UnexpectedEof` if the blob was
    /// truncated after it was opened.
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes>;

    /// These bytes are not read again soon: a cache need not keep them for this reader.
    fn forget(&self, _offset: u64, _len: usize) {}
}

/// The result of putting a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The blob's stamp.
    pub stamp: Stamp,
    /// The barrier that must be synced before a row may name the blob; `None` if it is durable already.
    pub barrier: Option<Barrier>,
}

/// Bytes in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Tells them from others of the same digest.
    pub number: u32,
    /// What must be synced before the blob is gone for certain.
    pub barrier: Option<Barrier>,
}

/// What is in quarantine under one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aside {
    /// What it was.
    pub digest: Digest,
    /// Tells it from others of the same digest.
    pub number: u32,
    /// Bytes.
    pub size: u64,
}

/// A pending sync that blobs need: a number that only their store understands. One sync makes all blobs with
/// equal barriers durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Barrier(u64);

impl Barrier {
    pub(in crate::store) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(in crate::store) const fn number(self) -> u64 {
        self.0
    }
}

/// Distinguishes two states of a stored blob without reading it: numbers that only its store understands. The
/// default equals the stamp of no blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u64, u64, i64, i64);

impl Stamp {
    pub(in crate::store) const fn new(numbers: (u64, u64, i64, i64)) -> Self {
        let (first, second, third, fourth) = numbers;
        Self(first, second, third, fourth)
    }
}

/// An entry of [`BlobStore::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A blob; its content is not checked.
    Blob {
        /// The digest in its name.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// When its content was last written.
        modified: SystemTime,
    },
    /// Something that the store did not create, by its path.
    Stranger(String),
}

/// The space of a store, as an unprivileged user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size in bytes.
    pub total: u64,
    /// Bytes that can still be written.
    pub available: u64,
    /// The most files that it can hold; 0 if there is no such limit.
    pub files_total: u64,
    /// Files that can still be created; 0 if there is no such limit.
    pub files_available: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_stored_as_it_always_was() {
        let stamp = Stamp::new((300, 5, -1, 1_700_000_000_000_000_000));
        let stored = postcard::to_allocvec(&stamp).unwrap();
        let expected = [0xac, 2, 5, 1, 0x80, 0x80, 0xd0, 0xe2, 0xc6, 0xbf, 0xce, 0x97, 0x2f];
        assert_eq!(stored, expected);
        assert_eq!(postcard::from_bytes::<Stamp>(&stored).unwrap(), stamp);
    }
}
