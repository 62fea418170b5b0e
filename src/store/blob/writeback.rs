//! Sending written bytes to the disk while more arrive, so that the last sync is short.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use super::health::Health;
use crate::store::sys;

/// Writeback is started each time so many bytes were appended, or half an upload's part of the window.
const STEP: u64 = 8 << 20;
const SMALLEST_STEP: u64 = 512 << 10;
/// All uploads together are about so far ahead of the disk; each may have [`SMALLEST_STEP`], however many
/// there are. A sync has to wait for it, mostly twice: the journal of the file system waits for what others
/// have appended meanwhile, too.
const WINDOW: u64 = 16 << 20;

/// How far all staged files of a store are ahead of the disk.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes that may be dirty.
    dirty: AtomicU64,
    /// Files that have some of them.
    files: AtomicU64,
    /// Cleared once the file system refuses early writeback.
    enabled: AtomicBool,
}

impl Default for Window {
    fn default() -> Self {
        Self { dirty: AtomicU64::new(0), files: AtomicU64::new(0), enabled: AtomicBool::new(true) }
    }
}

impl Window {
    /// What each file may have when all want as much as they can get.
    fn share(&self) -> u64 {
        (WINDOW / self.files.load(Ordering::Relaxed).max(1)).max(SMALLEST_STEP)
    }

    fn is_full(&self) -> bool {
        self.dirty.load(Ordering::Relaxed) >= WINDOW
    }
}

/// How far the bytes of one staged file are on their way to the disk.
pub(super) struct Writeback {
    /// Writeback was started up to here.
    started: u64,
    /// Nothing below is dirty.
    settled: u64,
    /// The same, as far as syncs on other threads have told.
    synced: Arc<AtomicU64>,
    window: Arc<Window>,
    /// What of the window's bytes is this file's.
    counted: u64,
}

impl Writeback {
    pub(super) fn new(offset: u64, window: Arc<Window>) -> Self {
        Self { started: offset, settled: offset, synced: Arc::default(), window, counted: 0 }
    }

    /// Follows a file that was appended to up to `len`.
    ///
    /// An I/O error here is as final as one of a sync, and may be its only sign: it must not be dropped, and
    /// no sync may end well beside it. So the two take turns. A sync does the same work, and while it runs
    /// the file may get ahead of the disk as far as the window.
    pub(super) fn advance(&mut self, file: &File, len: u64, health: &Health) -> io::Result<()> {
        self.settled = self.settled.max(self.synced.load(Ordering::Relaxed).min(self.started));
        self.count(len);
        let waits = self.must_wait();
        let idle = !waits && len - self.started < self.step();
        if idle || !self.window.enabled.load(Ordering::Relaxed) {
            return Ok(());
        }
        if waits {
            health.guard_alone(|| self.push(file, len))
        } else {
            health.guard_if_alone(|| self.push(file, len)).unwrap_or(Ok(()))
        }
    }

    fn push(&mut self, file: &File, len: u64) -> io::Result<()> {
        let step = self.step();
        while len - self.started >= step {
            self.tolerate(sys::start_writeback(file, self.started, step))?;
            self.started += step;
        }
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

    /// Whether the disk is to catch up first. An upload with less than its share never waits for the others.
    fn must_wait(&self) -> bool {
        self.counted >= self.window.share() && self.window.is_full()
    }

    /// Tells the window what may be dirty of a file of `len` bytes.
    fn count(&mut self, len: u64) {
        let dirty = len - self.settled;
        let before = std::mem::replace(&mut self.counted, dirty);
        if dirty >= before {
            self.window.dirty.fetch_add(dirty - before, Ordering::Relaxed);
        } else {
            self.window.dirty.fetch_sub(before - dirty, Ordering::Relaxed);
        }
        match (before, dirty) {
            (0, 1..) => drop(self.window.files.fetch_add(1, Ordering::Relaxed)),
            (1.., 0) => drop(self.window.files.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Where a sync on another thread notes up to where it made the file durable.
    pub(super) fn synced(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.synced)
    }

    /// Starts anew at `len`: after a sync everything below is on the disk, after a cut nothing above is left.
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
            // A file with less than its share goes on until those with more come to wait.
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
