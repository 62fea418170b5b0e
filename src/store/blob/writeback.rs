//! Sending written bytes to the disk while more arrive, so that the last sync is short.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::io::Errno;

use super::health::Health;
use crate::store::sys;

/// Writeback is started each time so many bytes were appended.
const STEP: u64 = 8 << 20;
/// An upload that is so far ahead of the disk waits for it.
const WINDOW: u64 = 64 << 20;

/// How far the bytes of one staged file are on their way to the disk.
pub(super) struct Writeback {
    /// Writeback was started up to here.
    started: u64,
    /// Nothing below is dirty.
    settled: u64,
    /// The same, as far as syncs on other threads have told.
    synced: Arc<AtomicU64>,
    /// Shared by all files of a store: cleared once the file system refuses.
    enabled: Arc<AtomicBool>,
}

impl Writeback {
    pub(super) fn new(offset: u64, enabled: Arc<AtomicBool>) -> Self {
        Self { started: offset, settled: offset, synced: Arc::default(), enabled }
    }

    /// Follows a file that was appended to up to `len`.
    ///
    /// An I/O error here is as final as one of a sync, and may be its only sign: it must not be dropped, and
    /// no sync may end well beside it. So the two take turns. A sync does the same work, and while it runs
    /// the file may get ahead of the disk as far as the window.
    pub(super) fn advance(&mut self, file: &File, len: u64, health: &Health) -> io::Result<()> {
        if len - self.started < STEP || !self.enabled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.settled = self.settled.max(self.synced.load(Ordering::Relaxed).min(self.started));
        if len - self.settled < WINDOW {
            health.guard_if_alone(|| self.push(file, len)).unwrap_or(Ok(()))
        } else {
            health.guard_alone(|| self.push(file, len))
        }
    }

    fn push(&mut self, file: &File, len: u64) -> io::Result<()> {
        while len - self.started >= STEP {
            self.tolerate(sys::start_writeback(file, self.started, STEP))?;
            self.started += STEP;
            if self.started - self.settled >= WINDOW {
                self.tolerate(sys::await_writeback(file, self.settled, STEP))?;
                self.settled += STEP;
            }
        }
        Ok(())
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
    }

    fn tolerate(&self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR) => Ok(()),
                Some(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::SPIPE) => {
                    self.enabled.store(false, Ordering::Relaxed);
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(writeback: &Writeback) -> (u64, u64) {
        (writeback.started >> 20, writeback.settled >> 20)
    }

    #[test]
    fn a_file_is_never_further_ahead_of_the_disk_than_the_window() {
        let (file, health) = (tempfile::tempfile().unwrap(), Health::default());
        let mut writeback = Writeback::new(0, Arc::new(AtomicBool::new(true)));
        for len in 1..200_u64 {
            writeback.advance(&file, len << 20, &health).unwrap();
            assert!((len << 20) - writeback.settled < WINDOW);
            assert!((len << 20) - writeback.started < STEP);
        }
        writeback.restart(10 << 20);
        assert_eq!(positions(&writeback), (10, 10));
    }

    #[test]
    fn a_running_sync_is_waited_for_only_at_the_window() {
        let (file, health) = (tempfile::tempfile().unwrap(), Health::default());
        let mut writeback = Writeback::new(0, Arc::new(AtomicBool::new(true)));
        health
            .guard_alone(|| {
                writeback.advance(&file, 63 << 20, &health)?;
                assert_eq!(positions(&writeback), (0, 0), "left to the sync");
                Ok(())
            })
            .unwrap();
        writeback.advance(&file, 63 << 20, &health).unwrap();
        writeback.synced().fetch_max(40 << 20, Ordering::Relaxed);
        writeback.advance(&file, 80 << 20, &health).unwrap();
        assert_eq!(positions(&writeback), (80, 40));
    }
}
