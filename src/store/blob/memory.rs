//! A blob store without files, for tests: code that works with it depends only on what every store offers.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use super::{Aside, Barrier, BlobFile, BlobStore, Entry, Placed, Sealed, SetAside, Space, Staging, Stamp};
use crate::model::digest::Digest;

/// Blobs in memory. Only the staged files are on a disk.
pub(crate) struct MemoryBlobs {
    staging: Arc<Staging>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<Digest, Blob>,
    aside: BTreeMap<(Digest, u32), Blob>,
    puts: u64,
}

#[derive(Clone)]
struct Blob {
    content: Bytes,
    number: u64,
    modified: SystemTime,
}

impl Blob {
    fn stamp(&self) -> Stamp {
        Stamp::new((self.number, 0, 0, 0))
    }
}

impl MemoryBlobs {
    pub(crate) fn new(staging: Arc<Staging>) -> Self {
        Self { staging, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobStore for MemoryBlobs {
    fn put(&self, sealed: Sealed) -> io::Result<Placed> {
        let mut content = Vec::new();
        let mut file = self.staging.open_sealed(&sealed)?;
        file.read_to_end(&mut content)?;
        let modified = file.metadata()?.modified()?;
        let mut state = self.state();
        state.puts += 1;
        let blob = Blob { content: content.into(), number: state.puts, modified };
        let placed = Placed { stamp: blob.stamp(), barrier: Some(Barrier::new(u64::MAX)) };
        state.blobs.insert(sealed.digest, blob);
        drop(state);
        self.staging.discard(sealed.id)?;
        Ok(placed)
    }

    fn sync(&self, barrier: Barrier) -> io::Result<()> {
        assert_eq!(barrier, Barrier::new(u64::MAX), "the barrier of another store");
        Ok(())
    }

    fn open(&self, digest: &Digest) -> io::Result<Option<Arc<dyn BlobFile>>> {
        Ok(self.state().blobs.get(digest).map(|blob| Arc::new(blob.clone()) as _))
    }

    fn remove(&self, digest: &Digest) -> io::Result<Option<Barrier>> {
        self.state().blobs.remove(digest);
        Ok(None)
    }

    fn set_aside(&self, digest: &Digest) -> io::Result<Option<SetAside>> {
        let mut state = self.state();
        let Some(blob) = state.blobs.remove(digest) else { return Ok(None) };
        state.puts += 1;
        let number = u32::try_from(state.puts).expect("few puts");
        state.aside.insert((*digest, number), blob);
        Ok(Some(SetAside { number, barrier: None }))
    }

    fn list_aside(&self) -> io::Result<Vec<Aside>> {
        let state = self.state();
        let aside = state.aside.iter().map(|((digest, number), blob)| Aside {
            digest: *digest,
            number: *number,
            size: blob.content.len() as u64,
        });
        Ok(aside.collect())
    }

    fn discard_aside(&self, digest: &Digest, number: u32) -> io::Result<bool> {
        Ok(self.state().aside.remove(&(*digest, number)).is_some())
    }

    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<()> {
        let entries: Vec<_> = self
            .state()
            .blobs
            .iter()
            .map(|(digest, blob)| Entry::Blob { digest: *digest, size: blob.size(), modified: blob.modified })
            .collect();
        for entry in entries {
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { total: u64::MAX, available: u64::MAX, files_total: 0, files_available: 0 })
    }
}

impl BlobFile for Blob {
    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn stamp(&self) -> Stamp {
        Self::stamp(self)
    }

    /// Never returns data, because code must not rely on non-blocking reads.
    fn try_read(&self, offset: u64, _: usize) -> io::Result<Option<Bytes>> {
        Ok((offset >= self.size()).then(Bytes::new))
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let size = self.content.len();
        let start = usize::try_from(offset).map_or(size, |offset| offset.min(size));
        Ok(self.content.slice(start..start.saturating_add(len).min(size)))
    }
}
