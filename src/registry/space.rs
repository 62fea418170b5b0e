//! Refuses pushes before the disk is full, so that pulls, deletes and the metadata keep working.
//!
//! A worker reads the free space once a second; requests never do, because a disk that hangs must not block
//! requests that do not need it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::error::RegistryError;
use super::little_space::{LittleSpace, LowSpace};
use crate::config::MinFree;
use crate::store::blob::{BlobStore, Space};

/// So much more than `warn_free`, as a share of the disk, must be free before a warning is over. Otherwise
/// one file that comes and goes would be told again and again.
const AGAIN: u64 = 100;

/// The last sample of the file system, and the bytes written since.
pub(super) struct SpaceGate {
    blobs: Arc<dyn BlobStore>,
    space: ArcSwap<Space>,
    /// Bytes of uploads since the last sample.
    taken: AtomicU64,
    /// Whether the last sample refused pushes; used for the log only.
    refusing: AtomicBool,
    /// Whether the last sample was a warning; used for the log only.
    warning: AtomicBool,
    /// Whether the last sample failed; used for the log only.
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
            warning: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        };
        gate.ask();
        gate
    }

    /// Reads the free space, which may block. After an error the last values stay.
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

    /// Takes a sample, and logs when pushes begin or cease to be refused, and when space becomes low or is no
    /// more.
    pub(super) fn sample(&self, min_free: MinFree, warn_free: MinFree) {
        self.ask();
        self.tell_low(min_free, warn_free);
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

    fn tell_low(&self, min_free: MinFree, warn_free: MinFree) {
        if !self.warning.load(Ordering::Acquire) {
            // When pushes are refused at once, that line says enough.
            let is_refused = self.shortage(min_free, 0).is_some();
            if let Some(low) = self.low(warn_free, false).filter(|_| !is_refused) {
                self.warning.store(true, Ordering::Release);
                tracing::warn!("{low}; see what can be freed: stowage gc status");
            }
        } else if self.low(warn_free, true).is_none() {
            self.warning.store(false, Ordering::Release);
            if warn_free.of(self.space().total) > 0 {
                tracing::info!("the disk has more than storage.warn_free left again");
            }
        }
    }

    /// Whether less than `warn_free`, which may be zero, is free, or few inodes. With `clearly` a share more
    /// than that must be free.
    pub(super) fn low(&self, warn_free: MinFree, clearly: bool) -> Option<LowSpace> {
        let space = self.space();
        let more = |total: u64| if clearly { total / AGAIN } else { 0 };
        let wanted = match warn_free.of(space.total) {
            0 => return None,
            wanted => wanted.saturating_add(more(space.total)).min(space.total),
        };
        let files = space.files_total != 0
            && space.files_available < space.files_total / 20 + more(space.files_total);
        (files || space.available < wanted).then_some(LowSpace {
            warn_free,
            available: space.available,
            total: space.total,
            files: files && space.available >= wanted,
        })
    }

    /// Adds bytes that were written since the last sample.
    pub(super) fn took(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The state of the file system.
    pub(super) fn space(&self) -> Space {
        let space = **self.space.load();
        Space { available: space.available.saturating_sub(self.taken.load(Ordering::Acquire)), ..space }
    }

    /// Refuses with [`RegistryError::LittleSpace`] if less than `min_free` would be left after `more` bytes.
    /// An announced body reserves nothing: otherwise a client that announces much and sends nothing would
    /// block the others.
    pub(super) fn check(&self, min_free: MinFree, more: u64) -> Result<(), RegistryError> {
        match self.shortage(min_free, more) {
            None => Ok(()),
            // Without a minimum, the disk itself is the limit.
            Some(shortage) if !shortage.files && min_free.of(shortage.total) == 0 => {
                Err(RegistryError::DiskFull)
            }
            Some(shortage) => Err(RegistryError::LittleSpace(shortage)),
        }
    }

    /// What is missing for `more` bytes.
    pub(super) fn shortage(&self, min_free: MinFree, more: u64) -> Option<LittleSpace> {
        let space = self.space();
        // A file system may have no free inodes although it has free bytes.
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
