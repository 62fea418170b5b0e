//! The gate that refuses pushes before the disk is full, so that pulls, deletes and the metadata go on.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::error::RegistryError;
use crate::config::MinFree;
use crate::store::blob::{BlobStore, Space};

const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Asks the file system at most once a second.
pub(super) struct SpaceGate {
    blobs: Arc<dyn BlobStore>,
    last: Mutex<Option<(Instant, Space)>>,
}

impl SpaceGate {
    pub(super) fn new(blobs: Arc<dyn BlobStore>) -> Self {
        Self { blobs, last: Mutex::new(None) }
    }

    /// Refuses with [`RegistryError::DiskFull`] when less than `min_free` is free.
    pub(super) fn check(&self, min_free: MinFree) -> Result<(), RegistryError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let space = match *last {
            Some((asked, space)) if asked.elapsed() < ASK_AGAIN => space,
            _ => {
                let space = self.blobs.space()?;
                *last = Some((Instant::now(), space));
                space
            }
        };
        if is_left(min_free, space) { Ok(()) } else { Err(RegistryError::DiskFull) }
    }
}

fn is_left(min_free: MinFree, space: Space) -> bool {
    // A file system that runs out of inodes takes no files although it has room for bytes.
    let inodes = space.inodes_total == 0 || space.inodes_available >= space.inodes_total / 100;
    inodes && space.available >= min_free.of(space.total)
}
