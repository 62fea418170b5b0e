//! Writes the file of an upload.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::Sealed;
use super::disk::Disk;
use super::health::Health;
use super::writeback::{Window, Writeback};
use crate::model::digest::Digest;
use crate::model::names::UploadId;
use crate::store::faulty::Call;

/// The most slices that one `writev` takes (`UIO_MAXIOV`).
const MAX_SLICES: usize = 1024;

/// The file of an upload, open for appending. Dropping it leaves the file where it is.
///
/// After an error of `append`, `sync`, `truncate` or a [`Syncer`], all of these fail: the kernel reports a
/// lost write once, so a later success would prove nothing. The caller must discard the file, or resume it at
/// an offset that was synced before.
pub struct Staged {
    id: UploadId,
    file: Arc<File>,
    disk: Arc<Disk>,
    len: u64,
    /// Counts the changes of the file: its creation, appends, truncations.
    changes: u64,
    /// How many of them a sync has made durable.
    durable: Arc<AtomicU64>,
    writeback: Writeback,
    health: Arc<Health>,
}

/// A sync of a staged file's present content, which can run while more is appended.
pub struct Syncer {
    file: Arc<File>,
    disk: Arc<Disk>,
    len: u64,
    changes: u64,
    durable: Arc<AtomicU64>,
    synced: Arc<AtomicU64>,
    health: Arc<Health>,
}

impl Staged {
    /// `synced`: whether the file is durable as it is.
    pub(super) fn new(
        id: UploadId,
        file: File,
        disk: Arc<Disk>,
        len: u64,
        synced: bool,
        window: Arc<Window>,
    ) -> Self {
        let durable = Arc::new(AtomicU64::new(u64::from(synced)));
        let writeback = Writeback::new(len, window);
        Self { id, file: Arc::new(file), disk, len, changes: 1, durable, writeback, health: Arc::default() }
    }

    /// Appends all chunks in order.
    pub fn append(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        self.changes += 1;
        let Self { file, disk, len, writeback, health, .. } = self;
        health.guard(|| {
            *len = write_all(chunks, *len, |slices, offset| disk.write(file, slices, offset))?;
            writeback.advance(file, *len, health)
        })
    }

    /// The bytes appended so far.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was appended yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a sync has made the file durable as it is now.
    pub fn is_synced(&self) -> bool {
        self.durable.load(Ordering::Acquire) == self.changes
    }

    /// Makes everything that was appended durable.
    pub fn sync(&mut self) -> io::Result<()> {
        self.health.guard_alone(|| sync(&self.disk, &self.file))?;
        self.durable.fetch_max(self.changes, Ordering::Release);
        self.writeback.restart(self.len);
        Ok(())
    }

    /// A sync of what is appended by now, to run later on another thread. If it fails, `append` and `sync`
    /// fail from then on.
    pub fn syncer(&self) -> Syncer {
        Syncer {
            file: Arc::clone(&self.file),
            disk: Arc::clone(&self.disk),
            len: self.len,
            changes: self.changes,
            durable: Arc::clone(&self.durable),
            synced: self.writeback.synced(),
            health: Arc::clone(&self.health),
        }
    }

    /// Makes everything durable, unless it is already, and closes the file. The caller has verified that it
    /// is the whole content of `digest`; now it can be put into a store.
    pub fn seal(mut self, digest: &Digest) -> io::Result<Sealed> {
        if !self.is_synced() {
            self.sync()?;
        }
        Ok(Sealed { id: self.id, digest: *digest })
    }

    /// Reads a part back; the result is shorter at the end of the file.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.disk.read_len(Call::ReadStaged, buf.len())?;
        let buf = &mut buf[..len];
        loop {
            match self.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Truncates the file to `len`, which must not be beyond its end.
    pub fn truncate(&mut self, len: u64) -> io::Result<()> {
        if len > self.len {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a staged file cannot be cut off beyond its end",
            ));
        }
        self.changes += 1;
        self.health.guard(|| self.disk.call(Call::Truncate, || self.file.set_len(len)))?;
        self.len = len;
        self.writeback.restart(len);
        Ok(())
    }
}

impl Syncer {
    /// Syncs the file.
    pub fn run(self) -> io::Result<()> {
        self.health.guard_alone(|| sync(&self.disk, &self.file))?;
        self.durable.fetch_max(self.changes, Ordering::Release);
        self.synced.fetch_max(self.len, Ordering::Relaxed);
        Ok(())
    }
}

fn sync(disk: &Disk, file: &File) -> io::Result<()> {
    if cfg!(feature = "mutant-no-blob-sync") {
        return Ok(());
    }
    disk.call(Call::SyncFile, || file.sync_data())
}

/// Writes all chunks from `offset` on, in as many calls as necessary; returns the offset after them.
fn write_all(
    chunks: &[Bytes],
    mut offset: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<u64> {
    for chunks in chunks.chunks(MAX_SLICES) {
        let mut slices: Vec<_> =
            chunks.iter().filter(|chunk| !chunk.is_empty()).map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match write(rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_arrive_in_order_however_short_the_writes_are(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
            limits in prop::collection::vec(1_usize..300, 1..20),
            start in 0_u64..1000,
        ) {
            let chunks: Vec<Bytes> = chunks.into_iter().map(Bytes::from).collect();
            let mut written: Vec<u8> = Vec::new();
            let mut limits = limits.into_iter().cycle();
            let mut calls = 0;
            let end = write_all(&chunks, start, |slices, offset| {
                assert_eq!(offset, start + written.len() as u64);
                calls += 1;
                if calls % 3 == 0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let before = written.len();
                let limit = limits.next().unwrap();
                written.extend(slices.iter().flat_map(|slice| slice.iter()).take(limit));
                Ok(written.len() - before)
            });
            prop_assert_eq!(end.unwrap(), start + written.len() as u64);
            prop_assert_eq!(written, chunks.concat());
        }
    }

    #[test]
    fn more_chunks_than_one_call_takes_arrive() {
        let chunks = vec![Bytes::from_static(b"ab"); 3 * MAX_SLICES + 1];
        let mut most = 0;
        let end = write_all(&chunks, 0, |slices, _| {
            most = most.max(slices.len());
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        assert_eq!((end.unwrap(), most), (2 * chunks.len() as u64, MAX_SLICES));
    }

    #[test]
    fn a_write_that_takes_nothing_is_an_error() {
        let error = write_all(&[Bytes::from_static(b"x")], 0, |_, _| Ok(0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
