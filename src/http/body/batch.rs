//! A batch: bytes of a body that are collected before they are handed to the registry.

use actix_web::web::{Bytes, BytesMut};

/// Chunks smaller than this are copied together.
const SMALL: usize = 4 << 10;
/// From this many chunks on, they must have at least [`CRUMB`] bytes each on average.
pub const MANY_CHUNKS: usize = 1024;
/// See [`MANY_CHUNKS`].
pub const CRUMB: usize = 16;

/// Collected bytes. Small chunks are copied together, because each chunk by itself takes more memory than its
/// bytes.
#[derive(Default)]
pub(super) struct Batch {
    chunks: Vec<Bytes>,
    small: BytesMut,
    bytes: usize,
    /// The number of chunks of the whole body so far, and their bytes.
    count: usize,
    total: u64,
}

impl Batch {
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.count += 1;
        self.total += chunk.len() as u64;
        self.bytes += chunk.len();
        if chunk.len() < SMALL {
            self.small.extend_from_slice(&chunk);
            return;
        }
        self.flush();
        self.chunks.push(chunk);
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }

    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.flush();
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    /// Bytes in the batch.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the whole body so far.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Whether the body comes in thousands of tiny chunks. No normal client does that, and each chunk takes
    /// an entry in a queue of the web framework.
    pub(super) const fn is_crumbs(&self) -> bool {
        is_crumbs(self.count, self.total)
    }
}

pub(super) const fn is_crumbs(count: usize, total: u64) -> bool {
    count >= MANY_CHUNKS && total / (count as u64) < CRUMB as u64
}
