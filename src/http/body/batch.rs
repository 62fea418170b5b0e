//! Bytes of a body that were gathered.

use actix_web::web::{Bytes, BytesMut};

/// Chunks below this size are put together.
const SMALL: usize = 4 << 10;
/// From so many chunks on, they must have at least [`CRUMB`] bytes each on average.
pub const MANY_CHUNKS: usize = 1024;
/// See [`MANY_CHUNKS`].
pub const CRUMB: usize = 16;

/// Bytes that were gathered. Small chunks are put together: each by itself would cost more than it holds.
#[derive(Default)]
pub(super) struct Batch {
    chunks: Vec<Bytes>,
    small: BytesMut,
    bytes: usize,
    /// Chunks of the whole body so far, and their bytes.
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

    /// Bytes that were not taken yet.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the whole body so far.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// No client sends thousands of chunks of a few bytes; each waits in a queue of the web framework that
    /// holds many.
    pub(super) const fn is_crumbs(&self) -> bool {
        is_crumbs(self.count, self.total)
    }
}

pub(super) const fn is_crumbs(count: usize, total: u64) -> bool {
    count >= MANY_CHUNKS && total / (count as u64) < CRUMB as u64
}
