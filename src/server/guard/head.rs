//! The bytes of a head that has not become a request yet: how many one connection may send, and all of them
//! together.
//!
//! The web framework keeps 128 KiB of any head and looks for its end from the beginning each time that more
//! of it comes. So it gets the bytes in steps, and a head has fewer of them than it would keep.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may come before a request begins.
pub const LARGEST_HEAD: usize = 32 << 10;
/// Bytes of a head that every connection may have sent.
pub const FREE_HEAD: usize = 16 << 10;
/// Bytes of heads above that, of all connections together.
pub const HEAD_POOL: usize = 24 << 20;
/// Bytes that are read at once: some heads, and not too many requests that were sent ahead.
const STEP: usize = 1 << 10;
/// What the web framework keeps of a head at most.
const LARGEST_KEPT: usize = 128 << 10;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The head that comes in now.
#[derive(Default)]
pub(super) struct Head {
    /// Bytes that came.
    read: usize,
    /// Bytes of the pool that they have taken.
    taken: usize,
    /// Bytes that came since the web framework last looked for the end.
    step: usize,
}

impl Head {
    /// No byte has come.
    pub(super) const fn is_new(&self) -> bool {
        self.read == 0
    }

    pub(super) const fn is_too_large(&self) -> bool {
        self.read > LARGEST_HEAD
    }

    /// How many bytes may be read before the web framework looks for the end; 0: it is its turn, which this
    /// begins.
    pub(super) const fn step(&mut self) -> usize {
        // In a large head it looks more rarely.
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

    /// Whether there is room for more. What is read on after an early refusal is thrown away by the web
    /// framework, but counts as well: it cannot be told apart here.
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
