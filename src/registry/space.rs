//! The gate that refuses pushes before the disk is full, so that pulls, deletes and the metadata go on.
//!
//! The file system is asked once a second by a worker, never by a request: a disk that hangs must not hang
//! requests that do not need it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::error::RegistryError;
use super::little_space::LittleSpace;
use crate::config::MinFree;
use crate::store::blob::{BlobStore, Space};

/// What the last question to the file system has brought, and what was written since.
pub(super) struct SpaceGate {
    blobs: Arc<dyn BlobStore>,
    space: ArcSwap<Space>,
    /// Bytes of uploads since the file system was asked.
    taken: AtomicU64,
    /// The last sample was one that refuses pushes: for the log.
    refusing: AtomicBool,
    /// The last question failed: for the log.
    failing: AtomicBool,
}

impl SpaceGate {
    pub(super) fn new(blobs: Arc<dyn BlobStore>) -> Self {
        let unlimited = Space { total: 0, available: u64::MAX, files_total: 0, files_available: 0 };
        let gate = Self {
            blobs,
            space: ArcSwap::from_pointee(unlimited),
            taken: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        };
        gate.ask();
        gate
    }

    /// Asks the file system, which may block. What it cannot tell stays as it was.
    fn ask(&self) {
        match self.blobs.space() {
            Ok(space) => {
                self.space.store(Arc::new(space));
                self.taken.store(0, Ordering::Release);
                self.failing.store(false, Ordering::Release);
            }
            Err(error) => self.note_failure(&error),
        }
    }

    fn note_failure(&self, error: &io::Error) {
        if !self.failing.swap(true, Ordering::AcqRel) {
            tracing::warn!(%error, "how full the disk is cannot be told; the last answer counts");
        }
    }

    /// Asks the file system again, and logs when pushes begin or cease to be refused.
    pub(super) fn sample(&self, min_free: MinFree) {
        self.ask();
        match (self.shortage(min_free, 0), self.refusing.load(Ordering::Acquire)) {
            (Some(shortage), false) => {
                self.refusing.store(true, Ordering::Release);
                tracing::warn!("pushes are refused: {shortage}; free some space, or lower storage.min_free");
            }
            (None, true) => {
                self.refusing.store(false, Ordering::Release);
                tracing::info!("pushes are accepted again: there is enough free space");
            }
            _ => {}
        }
    }

    /// Notes bytes that were written since the file system was asked.
    pub(super) fn took(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::AcqRel);
    }

    /// How full the file system is.
    pub(super) fn space(&self) -> Space {
        let space = **self.space.load();
        Space { available: space.available.saturating_sub(self.taken.load(Ordering::Acquire)), ..space }
    }

    /// Refuses with [`RegistryError::LittleSpace`] when less than `min_free` would be left after `more`
    /// bytes. Nothing is set apart for a body that was announced: a client that sends nothing would keep the
    /// others out.
    pub(super) fn check(&self, min_free: MinFree, more: u64) -> Result<(), RegistryError> {
        match self.shortage(min_free, more) {
            None => Ok(()),
            // Where nothing is kept free, the disk itself is the limit.
            Some(shortage) if !shortage.files && min_free.of(shortage.total) == 0 => {
                Err(RegistryError::DiskFull)
            }
            Some(shortage) => Err(RegistryError::LittleSpace(shortage)),
        }
    }

    /// What is lacking for `more` bytes.
    pub(super) fn shortage(&self, min_free: MinFree, more: u64) -> Option<LittleSpace> {
        let space = self.space();
        // A file system may take no more files although it has room for bytes.
        let files = space.files_total != 0 && space.files_available < space.files_total / 100;
        let wanted = min_free.of(space.total);
        let (lacking, too_large) = (space.available < wanted, space.available.saturating_sub(wanted) < more);
        (files || lacking || too_large).then_some(LittleSpace {
            min_free,
            available: space.available,
            total: space.total,
            announced: if lacking { 0 } else { more },
            files,
        })
    }
}
