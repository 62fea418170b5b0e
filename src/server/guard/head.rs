//! The bytes of a request's head before the request begins: limits for one connection, and for all of them
//! together.
//!
//! The web framework keeps 128 KiB of any head, and searches its end from the beginning each time that more
//! bytes arrive. So it gets the bytes in steps, and a head may have fewer bytes than it would keep.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of a head.
pub const LARGEST_HEAD: usize = 32 << 10;
/// Bytes of a head that every connection may send.
pub const FREE_HEAD: usize = 16 << 10;
/// Bytes of heads above that, for all connections together.
pub const HEAD_POOL: usize = 24 << 20;
/// Bytes that are read at once: enough for most heads, and few enough that not too many pipelined requests
/// are read.
const STEP: usize = 1 << 10;
/// The most bytes of a head that the web framework keeps.
const LARGEST_KEPT: usize = 128 << 10;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The head that is being received.
#[derive(Default)]
pub(super) struct Head {
    /// Bytes received.
    read: usize,
    /// Bytes taken from the pool.
    taken: usize,
    /// Bytes received since the web framework last searched for the end.
    step: usize,
}

impl Head {
    /// Whether no byte was received.
    pub(super) const fn is_new(&self) -> bool {
        self.read == 0
    }

    pub(super) const fn is_too_large(&self) -> bool {
        self.read > LARGEST_HEAD
    }

    /// How many bytes may be read before the web framework searches for the end; 0: it must search now, and a
    /// new step begins.
    pub(super) const fn step(&mut self) -> usize {
        // In a large head it searches less often.
        let step = if self.read < 4 * STEP { STEP } else { 8 * STEP };
        let left = step.saturating_sub(self.step);
        if left == 0 {
            self.step = 0;
        }
        left
    }

    pub(super) const fn note_read(&mut self, bytes: usize) {
        self.step += bytes;
        self.read += bytes;
    }

    /// Whether there is room for more bytes. Bytes that are read after an early refusal are dropped by the
    /// web framework, but count as well, because they cannot be told apart here.
    pub(super) fn take_room(&mut self) -> bool {
        let wanted = self.read.min(LARGEST_KEPT).saturating_sub(FREE_HEAD);
        let more = wanted.saturating_sub(self.taken);
        if more == 0 {
            return true;
        }
        let fits = TAKEN
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken + more <= HEAD_POOL).then_some(taken + more)
            })
            .is_ok();
        if fits {
            self.taken += more;
        }
        fits
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.taken, Ordering::Relaxed);
    }
}
