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
    min_free: MinFree,
    last: Mutex<Option<(Instant, bool)>>,
}

impl SpaceGate {
    pub(super) fn new(blobs: Arc<dyn BlobStore>, min_free: MinFree) -> Self {
        Self { blobs, min_free, last: Mutex::new(None) }
    }

    /// Refuses with [`RegistryError::DiskFull`] when less than the reserve is free.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let room = match *last {
            Some((asked, room)) if asked.elapsed() < ASK_AGAIN => room,
            _ => {
                let room = is_left(self.min_free, self.blobs.space()?);
                *last = Some((Instant::now(), room));
                room
            }
        };
        if room { Ok(()) } else { Err(RegistryError::DiskFull) }
    }
}

fn is_left(min_free: MinFree, space: Space) -> bool {
    // A file system that runs out of inodes takes no files although it has room for bytes.
    let inodes = space.inodes_total == 0 || space.inodes_available >= space.inodes_total / 100;
    inodes && space.available >= min_free.of(space.total)
}
