//! What a store of blobs does, whatever keeps the bytes.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Sealed;
use crate::model::digest::Digest;

/// Blobs under their digests. What every implementation must do is written down as a test: `contract.rs`.
///
/// Everything may block but [`BlobFile::try_read`]. Only the holder of a digest's lock puts or removes that
/// digest.
pub trait BlobStore: Send + Sync + 'static {
    /// Puts a sealed file in the place of its digest, over whatever is there. No reader sees a part of it.
    ///
    /// It is durable when [`Placed::barrier`] has been synced. After an error either the old blob or the new
    /// one is in the place, and the staged file may still be there.
    fn put(&self, sealed: Sealed) -> io::Result<Placed>;

    /// Makes everything durable that was put with this barrier.
    fn sync(&self, barrier: Barrier) -> io::Result<()>;

    /// Opens a blob for reading; none when there is none. It stays readable when it is replaced or removed.
    /// `InvalidData` when what lies in its place can never be read as a blob.
    fn open(&self, digest: &Digest) -> io::Result<Option<Arc<dyn BlobFile>>>;

    /// Takes a blob out of the store; false when there is none. A power cut may bring it back.
    fn remove(&self, digest: &Digest) -> io::Result<bool>;

    /// Calls `visit` for each blob, and for everything among them that does not belong there, until it
    /// breaks. A blob that comes or goes meanwhile may or may not be seen.
    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<()>;

    /// How full the store is.
    fn space(&self) -> io::Result<Space>;
}

/// A blob opened for reading.
pub trait BlobFile: Send + Sync {
    /// Bytes when it was opened.
    fn size(&self) -> u64;

    /// What it looked like when it was opened.
    fn stamp(&self) -> Stamp;

    /// Reads up to `len` bytes without blocking; none when the disk would have to be asked. The answer may be
    /// short, and is empty only at the end of the blob.
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>>;

    /// Reads `len` bytes or up to the end of the blob. `UnexpectedEof` when it was cut off after it was
    /// opened.
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

/// A blob in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// What it looks like there.
    pub stamp: Stamp,
    /// What must be synced before a row may name it; none where it is durable already.
    pub barrier: Option<Barrier>,
}

/// A sync that blobs wait for: a number that only their store understands. Blobs with equal barriers become
/// durable by one sync.
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

/// What tells one state of a stored blob from another without reading it: numbers that only its store
/// understands. The default is the stamp of no blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u64, u64, i64, i64);

impl Stamp {
    pub(in crate::store) const fn new(numbers: (u64, u64, i64, i64)) -> Self {
        let (first, second, third, fourth) = numbers;
        Self(first, second, third, fourth)
    }
}

/// Something found by [`BlobStore::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A blob; nothing is known about its content.
    Blob {
        /// The digest that it is named after.
        digest: Digest,
        /// Bytes.
        size: u64,
        /// When its content was written last.
        modified: SystemTime,
    },
    /// Something that the store did not put there, as an operator finds it.
    Stranger(String),
}

/// How full a store is, for an ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that can still be written.
    pub available: u64,
    /// Files in all; 0 where nothing sets a number.
    pub files_total: u64,
    /// Files that can still be made; 0 where nothing sets a number.
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
