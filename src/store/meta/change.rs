//! What the writer must know of a change beside what it does.

use crate::store::blob::Barrier;

/// When a change may be made, what it costs a batch, and whether it may be made on a full disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Barriers of the blob store that are synced before the transaction: what its rows name is durable by
    /// then.
    pub after: Vec<Barrier>,
    /// Bytes that it stores beside small rows. A batch has a limit of them.
    pub bytes: usize,
    /// It takes something away: when the disk is full, it may use the room that is kept back for such
    /// changes.
    pub frees: bool,
}

impl Change {
    /// A change whose rows name blobs with these barriers.
    pub fn after(barriers: impl IntoIterator<Item = Barrier>) -> Self {
        Self { after: barriers.into_iter().collect(), ..Self::default() }
    }

    /// A change that stores so many bytes.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// A change that takes something away.
    pub fn that_frees() -> Self {
        Self { frees: true, ..Self::default() }
    }
}
