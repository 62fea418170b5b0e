//! The writer thread of the log: requests hand their lines to it, so that no request waits for a terminal, a
//! pipe or the journal.
//!
//! When the reader of stderr stalls, at most [`MAX_WAITING`] bytes are buffered. After that a thread that
//! logs a warning or an error blocks too; other lines, including the access log, are dropped and counted. So
//! the registry keeps serving when its log is not read.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::redact::redacted;

const MAX_WAITING: usize = 8 << 20;
/// How long the thread collects lines before it writes them; a `kill -9` loses at most these.
const GATHER: Duration = Duration::from_millis(1);
/// How long `flush` waits for a stalled reader.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    /// Whether the current thread is the writer thread.
    static IS_LOG: Cell<bool> = const { Cell::new(false) };
}

/// The writer that tracing-subscriber writes to.
#[derive(Clone)]
pub(super) struct LineWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or to stop for.
    filled: Condvar,
    /// Something was written.
    drained: Condvar,
}

struct State {
    waiting: Vec<u8>,
    /// The thread has taken lines and not yet written them.
    writing: bool,
    /// Lines dropped because the buffer was full, since the last line that reported the number.
    dropped: u64,
    /// A thread waits in `flush`.
    urgent: bool,
    /// The output, after the thread has ended.
    out: Option<Box<dyn Write + Send>>,
    stop: bool,
}

/// Stops the thread when dropped, with every line written.
pub(super) struct WriterThread {
    writer: LineWriter,
    thread: Option<JoinHandle<Box<dyn Write + Send>>>,
}

impl LineWriter {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: Box<dyn Write + Send>) -> io::Result<(Self, WriterThread)> {
        let state =
            State { waiting: Vec::new(), writing: false, dropped: 0, urgent: false, out: None, stop: false };
        let shared = Shared { state: Mutex::new(state), filled: Condvar::new(), drained: Condvar::new() };
        let writer = Self(Arc::new(shared));
        let of_thread = writer.clone();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.write_until_stopped(out))?;
        Ok((writer.clone(), WriterThread { writer, thread: Some(thread) }))
    }

    /// Waits until everything logged so far is written.
    pub(super) fn flush(&self) {
        let mut state = self.lock();
        while state.out.is_none() && (state.writing || !state.waiting.is_empty()) {
            state.urgent = true;
            self.0.filled.notify_one();
            let (next, timeout) =
                self.0.drained.wait_timeout(state, FLUSH_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() {
                return;
            }
        }
    }

    fn push(&self, line: &[u8], may_wait: bool) {
        let line = &*redacted(line);
        let mut state = self.lock();
        while state.waiting.len() > MAX_WAITING && state.out.is_none() {
            if !may_wait {
                state.dropped += 1;
                return;
            }
            state = self.0.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(out) = &mut state.out {
            // A write error of the log cannot be logged.
            let _ = out.write_all(line);
            return;
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    fn write_until_stopped(&self, mut out: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
        IS_LOG.set(true);
        let mut lines = Vec::new();
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && !state.stop {
                state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() {
                return out;
            }
            if !state.urgent && !state.stop {
                // One write for many lines costs less than one write each.
                let hurried = |state: &mut State| !state.urgent && !state.stop;
                let gathered = self.0.filled.wait_timeout_while(state, GATHER, hurried);
                state = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut state.waiting, &mut lines);
            state.writing = true;
            state.urgent = false;
            drop(state);
            let _ = out.write_all(&lines);
            let _ = out.flush();
            lines.clear();
            lines.shrink_to(MAX_WAITING / 8);
            let mut state = self.lock();
            state.writing = false;
            let dropped = std::mem::take(&mut state.dropped);
            drop(state);
            self.0.drained.notify_all();
            if dropped > 0 {
                tracing::warn!(dropped, "stderr was not read in time: log lines were dropped");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterThread {
    /// Waits until everything logged so far is written.
    pub(super) fn flush(&self) {
        self.writer.flush();
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // `join` alone could wait for ever for a stalled reader, and the program would not end.
        self.writer.flush();
        let mut state = self.writer.lock();
        if state.writing || !state.waiting.is_empty() {
            return;
        }
        state.stop = true;
        drop(state);
        self.writer.0.filled.notify_one();
        if let Some(Ok(out)) = self.thread.take().map(JoinHandle::join) {
            self.writer.lock().out = Some(out);
            self.writer.0.drained.notify_all();
        }
    }
}

/// One event that is being formatted.
pub(super) struct Line<'a> {
    writer: &'a LineWriter,
    flush: bool,
    may_wait: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.push(line, self.may_wait);
        if self.flush {
            self.writer.flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self, flush: false, may_wait: false }
    }

    // Errors are flushed at once: the process may be about to end.
    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        // The writer thread must not wait for room in the buffer that it empties itself.
        let may_wait = *metadata.level() <= Level::WARN && !IS_LOG.get();
        Line { writer: self, flush: *metadata.level() == Level::ERROR && !IS_LOG.get(), may_wait }
    }
}
