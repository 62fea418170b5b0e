//! Properties of a change that the writer needs.

use crate::store::blob::Barrier;

/// The conditions and the cost of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Barriers of the blob store that must be synced before the transaction, so that what its rows name is
    /// durable.
    pub after: Vec<Barrier>,
    /// Bytes that it stores besides small rows. The bytes of a batch are limited.
    pub bytes: usize,
    /// Whether it frees space: when the disk is full, it may use the reserve.
    pub frees: bool,
    /// It changes only what no dump has: a dump is not due because of it.
    pub undumped: bool,
}

impl Change {
    /// A change whose rows name blobs with these barriers.
    pub fn after(barriers: impl IntoIterator<Item = Barrier>) -> Self {
        Self { after: barriers.into_iter().collect(), ..Self::default() }
    }

    /// A change that stores this many bytes.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// A change of so many bytes of what no dump has: rows about jobs.
    pub fn undumped(bytes: usize) -> Self {
        Self { bytes, undumped: true, ..Self::default() }
    }

    /// A change that frees space.
    pub fn that_frees() -> Self {
        Self { frees: true, ..Self::default() }
    }
}
