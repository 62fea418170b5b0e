//! The writer: one thread that commits the changes of many callers in groups (group commit).
//!
//! While a batch commits, the next one gathers. For each batch: sync its barriers, each once; run its jobs in
//! one transaction; commit in two phases; answer the callers.

use std::cell::RefCell;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redb::Database;

use super::batch::{Trouble, commit, refuse, run_job, store_clock, sync_barriers};
use super::clock::StoreClock;
use super::compact::Changed;
use super::error::{self, StoreError};
use super::handle::Handle;
use super::job::{Job, Message};
use super::marks::Marks;
use super::read::Tx as _;
use super::schema::{self, Clock};
use super::tx::{ReadTx, WriteTx};
use crate::store::blob::Barrier;

const MAX_JOBS: usize = 1024;
const MAX_BYTES: usize = 16 << 20;
/// In files up to this size every commit uses quick-repair, so that a start after a crash is fast.
const ALWAYS_QUICK_REPAIR: u64 = 256 << 20;
const QUICK_REPAIR_EVERY: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(1);
/// The shortest time between two reopenings of a database that could not be read.
const REPLACE_EVERY: Duration = Duration::from_secs(1);
const STORE_CLOCK_EVERY: Duration = Duration::from_mins(1);
/// The pause of idle commits after one that failed, because reopening interrupts readers.
const IDLE_AGAIN: Duration = Duration::from_mins(1);

/// Syncs one barrier of the blob store.
pub type SyncBarrier = Arc<dyn Fn(Barrier) -> io::Result<()> + Send + Sync>;

pub(super) struct Writer {
    pub(super) handle: Arc<Handle>,
    clock: StoreClock,
    counters: Clock,
    marks: Arc<Marks>,
    sync_barrier: SyncBarrier,
    last_quick_repair: Instant,
    last_stored: Instant,
    /// Whether the last commit was without quick-repair: a crash now would need a long repair.
    pub(super) repair_owed: bool,
    /// A database that a reader found broken, and that is replaced when [`REPLACE_EVERY`] has passed.
    broken: Option<Weak<Database>>,
    last_replaced: Option<Instant>,
    /// When the last idle commit failed.
    pub(super) idle_failed: Option<Instant>,
    /// The rows that changed since a compaction began to copy the database, or since it asked last.
    pub(super) changed: Option<RefCell<Changed>>,
}

impl Writer {
    pub(super) fn new(
        (handle, marks): (Arc<Handle>, Arc<Marks>),
        clock: StoreClock,
        counters: Clock,
        sync_barrier: SyncBarrier,
    ) -> Self {
        Self {
            handle,
            clock,
            counters,
            marks,
            sync_barrier,
            last_quick_repair: Instant::now(),
            last_stored: Instant::now(),
            repair_owed: false,
            broken: None,
            last_replaced: None,
            idle_failed: None,
            changed: None,
        }
    }

    /// Works until it is told to stop or the last sender is gone, then closes the database.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let first = match queue.recv_timeout(IDLE) {
                Ok(Message::Job(job)) => job,
                Ok(Message::Broken(database)) => {
                    self.replace(database);
                    continue;
                }
                Ok(Message::Call(call)) => {
                    call(&mut self);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.idle();
                    continue;
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut stop = false;
            let mut jobs = vec![first];
            let mut bytes = jobs[0].change().bytes;
            while jobs.len() < MAX_JOBS && bytes < MAX_BYTES {
                match queue.try_recv() {
                    Ok(Message::Job(job)) => {
                        bytes += job.change().bytes;
                        jobs.push(job);
                    }
                    Ok(Message::Broken(database)) => self.replace(database),
                    Ok(Message::Call(call)) => call(&mut self),
                    Ok(Message::Stop) => {
                        stop = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.commit_all(jobs);
            if stop {
                break;
            }
        }
        self.close(queue);
    }

    fn close(mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.try_recv() {
            if let Message::Job(job) = message {
                job.answer(Err(StoreError::Unavailable));
            }
        }
        // A file without a name is copied before it is closed.
        self.handle.place().leave();
        if self.handle.refusal().is_none()
            && let Err(error) = self.commit_nothing()
        {
            tracing::warn!(%error, "the last commit before the stop failed");
        }
        self.handle.close();
    }

    /// Reopens a database that a reader found broken, unless that was done meanwhile. At most once in
    /// [`REPLACE_EVERY`], because a page that can never be read must not take the database from all callers
    /// again and again.
    fn replace(&mut self, broken: Weak<Database>) {
        if !self.handle.is_current(&broken) {
            self.broken = None;
        } else if self.last_replaced.is_none_or(|last| last.elapsed() >= REPLACE_EVERY) {
            self.broken = None;
            self.last_replaced = Some(Instant::now());
            if !self.reopen() {
                self.handle.renew();
            }
        } else {
            self.broken = Some(broken);
        }
    }

    /// Why changes are refused at present. From time to time it tries whether the reason is gone.
    pub(super) fn refusal(&mut self) -> Option<StoreError> {
        if !self.handle.place().look() {
            return Some(StoreError::Displaced);
        }
        if let Err(error) = self.handle.settle() {
            return Some(error);
        }
        self.handle.refusal()?;
        if self.last_replaced.is_none_or(|last| last.elapsed() >= REPLACE_EVERY) {
            self.last_replaced = Some(Instant::now());
            self.reopen();
        }
        self.handle.refusal()
    }

    /// Stores the running time and makes a commit with quick-repair if one is owed, and tries again to open a
    /// database that could not be reopened.
    pub(super) fn idle(&mut self) {
        self.handle.reserve().restore();
        if let Some(broken) = self.broken.take() {
            self.replace(broken);
        }
        if self.refusal().is_some() {
            return;
        }
        if self.handle.database().is_err() && !self.reopen() {
            return;
        }
        let clock_due = self.last_stored.elapsed() >= STORE_CLOCK_EVERY
            && self.clock.now().running_s > self.counters.running_s;
        if (clock_due || self.repair_owed)
            && self.idle_failed.is_none_or(|failed| failed.elapsed() >= IDLE_AGAIN)
            && let Err(error) = self.commit_nothing()
        {
            tracing::warn!(%error, "the idle commit failed");
            self.idle_failed = Some(Instant::now());
            // After a panic redb's locks stay locked for ever, so a new handle is needed.
            self.reopen();
        }
    }

    fn commit_nothing(&mut self) -> Result<(), StoreError> {
        error::guarded(|| self.try_commit_nothing()).unwrap_or_else(Err)
    }

    fn try_commit_nothing(&mut self) -> Result<(), StoreError> {
        let database = self.handle.database()?;
        let mut inner = database.begin_write().map_err(error::transaction)?;
        inner.set_quick_repair(true);
        let counters = {
            let tx = self.transaction(&inner);
            store_clock(&tx)?
        };
        commit(inner)?;
        self.committed(counters, true);
        Ok(())
    }

    fn transaction<'t>(&'t self, inner: &'t redb::WriteTransaction) -> WriteTx<'t> {
        let counters = Clock { wall_high_ms: self.clock.latest_ms(&self.marks), ..self.counters };
        WriteTx::new(inner, self.clock.now(), counters).noting(self.changed.as_ref())
    }

    fn committed(&mut self, counters: Clock, quick_repair: bool) {
        self.counters = counters;
        self.last_stored = Instant::now();
        self.repair_owed = !quick_repair;
        if quick_repair {
            self.last_quick_repair = Instant::now();
        }
    }

    /// Follows a compaction, whose last commit was with quick-repair.
    pub(super) fn compacted(&mut self) {
        self.repair_owed = false;
        self.last_quick_repair = Instant::now();
    }

    fn commit_all(&mut self, jobs: Vec<Box<dyn Job>>) {
        self.handle.reserve().restore();
        if let Some(refusal) = self.refusal() {
            return refuse(jobs, &refusal);
        }
        let mut jobs = sync_barriers(jobs, &self.sync_barrier);
        let mut reopened = false;
        let mut drawn = false;
        while !jobs.is_empty() {
            if let Some(refusal) = self.handle.refusal() {
                return refuse(jobs, &refusal);
            }
            let number = self.counters.commits + 1;
            let outcome = error::guarded(|| self.try_commit(&mut jobs));
            match outcome.unwrap_or_else(|damage| Err(Trouble::Commit(damage, number))) {
                // Committed. `rest` did not fit into the transaction.
                Ok(rest) => {
                    let done = std::mem::replace(&mut jobs, rest);
                    for job in done {
                        job.answer(Ok(()));
                    }
                }
                // One job failed after it had changed something. It is answered, and the others run again.
                Err(Trouble::Job(index, error)) => {
                    let job = jobs.remove(index);
                    match error {
                        Some(error) => job.answer(Err(error)),
                        None => job.answer(Ok(())),
                    }
                }
                // The store failed before the commit, so nothing was changed: try once more on a new handle.
                Err(Trouble::Store(error)) => {
                    let again_open = error.breaks_handle() && self.reopen();
                    let again = again_open && !reopened;
                    reopened = true;
                    // Disk full: once, release the reserve for the jobs that free space.
                    if matches!(error, StoreError::Full) && again_open && !drawn {
                        drawn = true;
                        self.draw_on_reserve(&mut jobs, &error);
                    } else if !again || matches!(error, StoreError::Full | StoreError::ReadOnly) {
                        tracing::error!(%error, jobs = jobs.len(), "a batch of changes was not committed");
                        refuse(std::mem::take(&mut jobs), &error);
                    }
                }
                // The commit failed: the reopened database shows whether it was written.
                Err(Trouble::Commit(error, commits)) => {
                    tracing::error!(%error, jobs = jobs.len(), "a commit failed; the store is reopened");
                    // A commit that is in the reopened database after a failed sync may still be lost in a
                    // power cut: it is never reported as done. One that is not there is known to have changed
                    // nothing.
                    let gone = self.reopen() && self.counters.commits < commits;
                    if gone && matches!(error, StoreError::Full) && !drawn {
                        drawn = true;
                        self.draw_on_reserve(&mut jobs, &error);
                    } else {
                        let answer = if gone { error } else { StoreError::OutcomeUnknown };
                        refuse(std::mem::take(&mut jobs), &answer);
                    }
                }
            }
        }
    }

    /// On a full disk: keeps the jobs that free space, releases the reserve for them, and refuses the others.
    fn draw_on_reserve(&self, jobs: &mut Vec<Box<dyn Job>>, error: &StoreError) {
        let (may, may_not): (Vec<_>, Vec<_>) =
            std::mem::take(jobs).into_iter().partition(|job| job.change().frees);
        if !may.is_empty() {
            self.handle.reserve().give_up();
        }
        refuse(may_not, error);
        *jobs = may;
    }

    fn reopen(&mut self) -> bool {
        if let Some(changed) = &mut self.changed {
            // What a failed commit has changed may be there or not.
            *changed.get_mut() = Changed::incomplete();
        }
        match self.handle.reopen() {
            Ok(counters) => {
                self.counters = counters;
                self.know_epoch();
                true
            }
            Err(error) if self.handle.refusal().is_some() => {
                tracing::debug!(%error, "the metadata can still only be read");
                false
            }
            Err(error) => {
                tracing::error!(%error, "could not reopen the database; retrying");
                false
            }
        }
    }

    /// Publishes the stored epoch: a commit whose outcome was unknown may have raised it.
    fn know_epoch(&self) {
        let read = || ReadTx::begin(&*self.handle.database()?)?.get(&schema::AUTH_EPOCH, ());
        match error::guarded(read).unwrap_or_else(Err) {
            Ok(stored) => self.marks.raise_epoch(stored.unwrap_or(0)),
            Err(error) => tracing::error!(%error, "the epoch of permissions cannot be read"),
        }
    }

    /// Commits as many of the jobs as fit, and returns the rest for the next transaction.
    fn try_commit(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Result<Vec<Box<dyn Job>>, Trouble> {
        let database = match self.handle.database() {
            Ok(database) => database,
            Err(error) => return Err(Trouble::Store(error)),
        };
        let mut inner = database.begin_write().map_err(|error| Trouble::Store(error::transaction(error)))?;
        inner.set_two_phase_commit(true);
        let quick_repair = self.handle.file_len() <= ALWAYS_QUICK_REPAIR
            || self.last_quick_repair.elapsed() >= QUICK_REPAIR_EVERY;
        inner.set_quick_repair(quick_repair);
        let (mut ran, mut dumped) = (0, false);
        let (counters, epoch) = {
            let tx = self.transaction(&inner);
            for (index, job) in jobs.iter_mut().enumerate() {
                dumped |= run_job(&tx, index, job.as_mut())? && !job.change().undumped;
                ran = index + 1;
                if tx.is_full() {
                    break;
                }
            }
            let stored = match tx.changes() {
                0 => None,
                _ => Some(store_clock(&tx).map_err(Trouble::Store)?),
            };
            (stored, tx.raised_epoch())
        };
        // Crash order: every file and directory that these rows name is durable by now (`sync_barriers`), so
        // a crash before or after this commit leaves at most a file without a row.
        if let Some(counters) = counters {
            let outcome = commit(inner);
            // Behind the commit, so that a dump which has read the number before its snapshot misses nothing
            // that it counts. A commit that failed may be there all the same.
            if dumped {
                self.marks.count_change();
            }
            outcome.map_err(|error| Trouble::Commit(error, counters.commits))?;
            self.committed(counters, quick_repair);
        }
        if let Some(epoch) = epoch {
            self.marks.raise_epoch(epoch);
        }
        Ok(jobs.split_off(ran))
    }
}
