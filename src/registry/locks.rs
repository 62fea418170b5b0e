//! One lock for each digest. A task holds it from before it moves or removes the file of a blob until the
//! commit that records it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::model::digest::Digest;

const STRIPES: usize = 1024;

/// Striped locks: two digests may share a lock, which only costs waiting.
pub(super) struct DigestLocks {
    stripes: Vec<Arc<Mutex<()>>>,
}

/// Held from before a rename until its commit has returned.
pub(super) type DigestGuard = OwnedMutexGuard<()>;

impl DigestLocks {
    pub(super) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect() }
    }

    pub(super) async fn lock(&self, digest: &Digest) -> DigestGuard {
        Arc::clone(&self.stripes[stripe(digest)]).lock_owned().await
    }

    /// Locks all of them. Only the collector locks more than one, so no two tasks wait for each other.
    pub(super) async fn lock_all(&self, digests: &[Digest]) -> Vec<DigestGuard> {
        // A stripe that two digests share must be taken once.
        let stripes: BTreeSet<usize> = digests.iter().map(stripe).collect();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(Arc::clone(&self.stripes[stripe]).lock_owned().await);
        }
        guards
    }
}

fn stripe(digest: &Digest) -> usize {
    let bytes = digest.bytes();
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % STRIPES
}
