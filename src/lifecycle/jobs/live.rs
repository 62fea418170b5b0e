//! A job in the memory of its server: how far it is, what it said, and whether it is to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::view::{JobLine, JobState};
use crate::registry::fsck::Progress;
use crate::store::meta::clock::StoreClock;

/// Lines of a job that are kept: more than a person reads, and less than 100 KiB.
pub(super) const MAX_LINES: usize = 200;
/// Bytes of a line at most: a path and why it cannot be read.
pub(super) const MAX_LINE: usize = 500;

/// How a job ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) state: JobState,
    pub(super) at_ms: u64,
    pub(super) problems: u64,
    pub(super) error: Option<String>,
    /// All that it found, also what is too large for a row.
    pub(super) result: Option<Arc<str>>,
}

/// What is told to those who wait for a job.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) progress: Progress,
    pub(super) ended: Option<Arc<Ended>>,
}

/// A job that works, or has worked.
pub(in crate::lifecycle) struct Live {
    clock: StoreClock,
    cancelled: AtomicBool,
    told: watch::Sender<Told>,
    log: Mutex<Log>,
    /// What it has found so far, as JSON.
    kept: Mutex<Option<Arc<str>>>,
}

#[derive(Default)]
struct Log {
    lines: Vec<JobLine>,
    left_out: u64,
    saved: usize,
}

/// Lines that no row has yet.
pub(super) struct Unsaved {
    pub(super) lines: Vec<(u64, JobLine)>,
    up_to: usize,
}

impl Live {
    pub(super) fn new(clock: StoreClock) -> Self {
        let progress = Progress { stage: "start", done: 0, total: 0, bytes: 0 };
        let (told, _) = watch::channel(Told { progress, ended: None });
        Self { clock, cancelled: AtomicBool::new(false), told, log: Mutex::default(), kept: Mutex::default() }
    }

    pub(in crate::lifecycle) fn tell(&self, progress: Progress) {
        self.told.send_modify(|told| told.progress = progress);
    }

    pub(in crate::lifecycle) fn now_ms(&self) -> u64 {
        self.clock.now().wall_ms
    }

    pub(in crate::lifecycle) fn keep(&self, found: Option<Arc<str>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// What it has found so far, as far as a row may have it.
    pub(super) fn kept(&self) -> Option<Arc<str>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn end(&self, ended: Ended) {
        self.told.send_modify(|told| told.ended = Some(Arc::new(ended)));
    }

    pub(super) fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    pub(super) fn is_running(&self) -> bool {
        self.told.borrow().ended.is_none()
    }

    /// Waits for the end, but no longer than `patience`.
    pub(super) async fn wait(&self, patience: Duration) {
        let mut told = self.told.subscribe();
        // Running out of patience is an answer, too; the sender is in this very value.
        let _ = tokio::time::timeout(patience, told.wait_for(|told| told.ended.is_some())).await;
    }

    pub(in crate::lifecycle) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Asks the job to end.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn lines_mut(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. Behind the last one that is kept, it says how many were left out.
    pub(in crate::lifecycle) fn log(&self, text: String) {
        let at_ms = self.clock.now().wall_ms;
        let mut log = self.lines_mut();
        if log.lines.len() < MAX_LINES {
            log.lines.push(JobLine { at_ms, text: cut(text) });
        } else {
            // The line that this replaces is the first to be left out.
            log.left_out += if log.left_out == 0 { 2 } else { 1 };
            let text = format!("{} more lines are left out", log.left_out);
            log.lines[MAX_LINES - 1] = JobLine { at_ms, text };
        }
        drop(log);
        // Those who follow the job look at its lines, too.
        self.told.send_modify(|_| ());
    }

    /// Learns of each change: of progress, of a line, of the end.
    pub(super) fn follow(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    pub(super) fn lines(&self) -> Vec<JobLine> {
        self.lines_mut().lines.clone()
    }

    /// The lines that no row has yet, and the last one again where it has changed since.
    pub(super) fn unsaved(&self) -> Unsaved {
        let log = self.lines_mut();
        let from = if log.left_out > 0 { log.saved.min(MAX_LINES - 1) } else { log.saved };
        let lines = (0..).zip(&log.lines).skip(from).map(|(number, line)| (number, line.clone()));
        Unsaved { lines: lines.collect(), up_to: log.lines.len() }
    }

    /// These lines have their rows.
    pub(super) fn saved(&self, unsaved: &Unsaved) {
        self.lines_mut().saved = unsaved.up_to;
    }
}

/// The beginning of a line that is too long.
fn cut(mut text: String) -> String {
    const MARK: char = '…';
    if text.len() > MAX_LINE {
        text.truncate(text.floor_char_boundary(MAX_LINE - MARK.len_utf8()));
        text.push(MARK);
    }
    text
}
