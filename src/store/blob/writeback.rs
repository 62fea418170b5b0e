//! Starts the writeback of dirty pages while more bytes are appended, so that the final sync is short.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use super::health::Health;
use crate::store::sys;

/// Writeback starts each time this many bytes were appended, or half of an upload's share if that is less.
const STEP: u64 = 8 << 20;
const SMALLEST_STEP: u64 = 512 << 10;
/// Upper bound on dirty bytes over all uploads; each upload may have [`SMALLEST_STEP`], however many there
/// are. A sync waits until dirty bytes are written, often twice, because the journal of the file system also
/// waits for what other files have appended meanwhile.
const WINDOW: u64 = 16 << 20;

/// The dirty bytes of all staged files of a store.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes that may be dirty.
    dirty: AtomicU64,
    /// The number of files with dirty bytes.
    files: AtomicU64,
    /// Cleared when the file system turns out not to support early writeback.
    enabled: AtomicBool,
}

impl Default for Window {
    fn default() -> Self {
        Self { dirty: AtomicU64::new(0), files: AtomicU64::new(0), enabled: AtomicBool::new(true) }
    }
}

impl Window {
    /// The dirty bytes that each file may have if all files want as many as possible.
    fn share(&self) -> u64 {
        (WINDOW / self.files.load(Ordering::Relaxed).max(1)).max(SMALLEST_STEP)
    }

    fn is_full(&self) -> bool {
        self.dirty.load(Ordering::Relaxed) >= WINDOW
    }
}

/// How much of one staged file was written back.
pub(super) struct Writeback {
    /// Writeback was started for all bytes before this offset.
    started: u64,
    /// No byte before this offset is dirty.
    settled: u64,
    /// The same, set by syncs on other threads.
    synced: Arc<AtomicU64>,
    window: Arc<Window>,
    /// The bytes of this file that are counted in the window.
    counted: u64,
}

impl Writeback {
    pub(super) fn new(offset: u64, window: Arc<Window>) -> Self {
        Self { started: offset, settled: offset, synced: Arc::default(), window, counted: 0 }
    }

    /// Starts writeback for a file that was appended to up to `len`, and waits for it if there are too many
    /// dirty bytes.
    ///
    /// An I/O error here is as final as one of a sync, and may be reported only here: it must not be lost,
    /// and a sync beside it must not succeed. So this and syncs run one at a time. A sync writes the same
    /// pages, so while it runs this does nothing unless it has to wait.
    pub(super) fn advance(&mut self, file: &File, len: u64, health: &Health) -> io::Result<()> {
        self.settled = self.settled.max(self.synced.load(Ordering::Relaxed).min(self.started));
        self.count(len);
        let waits = self.must_wait();
        // Enough room in the window, and less than a step since the last start: nothing to do yet.
        let idle = !waits && len - self.started < self.step();
        if idle || !self.window.enabled.load(Ordering::Relaxed) {
            return Ok(());
        }
        if waits {
            // Too many dirty bytes: wait for a running sync, then for the writeback.
            health.guard_alone(|| self.push(file, len))
        } else {
            // Only starts writeback. If a sync is running, it does the same work.
            health.guard_if_alone(|| self.push(file, len)).unwrap_or(Ok(()))
        }
    }

    fn push(&mut self, file: &File, len: u64) -> io::Result<()> {
        let step = self.step();
        // Start writeback of every full step, without waiting.
        while len - self.started >= step {
            self.tolerate(sys::start_writeback(file, self.started, step))?;
            self.started += step;
        }
        // Back-pressure: wait for the oldest pieces until this file or the window has room again.
        while self.settled < self.started && self.must_wait() {
            let piece = step.min(self.started - self.settled);
            self.tolerate(sys::await_writeback(file, self.settled, piece))?;
            self.settled += piece;
            self.count(len);
        }
        Ok(())
    }

    fn step(&self) -> u64 {
        (self.window.share() / 2).clamp(SMALLEST_STEP, STEP)
    }

    /// Whether the upload must wait for the disk. One with less than its share never waits for the others.
    fn must_wait(&self) -> bool {
        self.counted >= self.window.share() && self.window.is_full()
    }

    /// Updates the window with the bytes that may be dirty in a file of `len` bytes.
    fn count(&mut self, len: u64) {
        let dirty = len - self.settled;
        let before = std::mem::replace(&mut self.counted, dirty);
        if dirty >= before {
            self.window.dirty.fetch_add(dirty - before, Ordering::Relaxed);
        } else {
            self.window.dirty.fetch_sub(before - dirty, Ordering::Relaxed);
        }
        match (before, dirty) {
            // The file begins or ceases to share the window.
            (0, 1..) => drop(self.window.files.fetch_add(1, Ordering::Relaxed)),
            (1.., 0) => drop(self.window.files.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// The offset up to which a sync on another thread has made the file durable; the sync sets it.
    pub(super) fn synced(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.synced)
    }

    /// Resets the offsets to `len`: after a sync everything before it is on the disk, after a truncation
    /// there is nothing behind it.
    pub(super) fn restart(&mut self, len: u64) {
        self.started = len;
        self.settled = len;
        self.synced.store(len, Ordering::Relaxed);
        self.count(len);
    }

    fn tolerate(&self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR) => Ok(()),
                Some(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::SPIPE) => {
                    self.window.enabled.store(false, Ordering::Relaxed);
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        self.count(self.settled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(writeback: &Writeback) -> (u64, u64) {
        (writeback.started >> 20, writeback.settled >> 20)
    }

    #[test]
    fn a_file_alone_is_never_further_ahead_of_the_disk_than_the_window() {
        let (file, health) = (tempfile::tempfile().unwrap(), Health::default());
        let mut writeback = Writeback::new(0, Arc::default());
        for len in 1..200_u64 {
            writeback.advance(&file, len << 20, &health).unwrap();
            assert!((len << 20) - writeback.settled <= WINDOW);
            assert!((len << 20) - writeback.started < STEP);
        }
        writeback.restart(10 << 20);
        assert_eq!(positions(&writeback), (10, 10));
    }

    #[test]
    fn many_files_share_the_window() {
        let (window, health) = (Arc::<Window>::default(), Health::default());
        let file = tempfile::tempfile().unwrap();
        for files in [2, 3, 4, 16] {
            let mut all: Vec<_> = (0..files).map(|_| Writeback::new(0, Arc::clone(&window))).collect();
            let mut most = 0;
            for len in 1..100_u64 {
                for writeback in &mut all {
                    writeback.advance(&file, len << 20, &health).unwrap();
                }
                let dirty: u64 = all.iter().map(|writeback| (len << 20) - writeback.settled).sum();
                assert_eq!(window.dirty.load(Ordering::Relaxed), dirty);
                most = most.max(dirty);
            }
            // A file with less than its share continues until files with more have to wait.
            assert!(most <= WINDOW + WINDOW / files, "{files} files: {most}");
            assert!(most > WINDOW / 2, "{files} files: {most}");
            all.clear();
            assert_eq!(window.dirty.load(Ordering::Relaxed), 0);
            assert_eq!(window.files.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_file_that_stands_still_does_not_hold_up_another() {
        let (window, health) = (Arc::<Window>::default(), Health::default());
        let file = tempfile::tempfile().unwrap();
        let mut still = Writeback::new(0, Arc::clone(&window));
        still.advance(&file, WINDOW - 1, &health).unwrap();
        let mut other = Writeback::new(0, Arc::clone(&window));
        for len in 1..100_u64 {
            other.advance(&file, len << 20, &health).unwrap();
        }
        assert!(window.dirty.load(Ordering::Relaxed) < 2 * WINDOW);
    }

    #[test]
    fn a_running_sync_is_waited_for_only_at_the_window() {
        let (file, health) = (tempfile::tempfile().unwrap(), Health::default());
        let mut writeback = Writeback::new(0, Arc::default());
        let short = WINDOW - (1 << 20);
        health
            .guard_alone(|| {
                writeback.advance(&file, short, &health)?;
                assert_eq!(positions(&writeback), (0, 0), "left to the sync");
                Ok(())
            })
            .unwrap();
        writeback.advance(&file, short, &health).unwrap();
        assert_eq!(positions(&writeback), (8, 0));
        writeback.synced().fetch_max(8 << 20, Ordering::Relaxed);
        writeback.advance(&file, 16 << 20, &health).unwrap();
        assert_eq!(positions(&writeback), (16, 8));
    }
}
