//! The runner: starts jobs, one of a kind at a time, on a thread each, keeps their rows, and tells of them.
//!
//! A row is written when a job begins, at most every ten seconds while it works, and at its end. A store that
//! takes no changes keeps no job from its work: it is exactly then that a check is wanted. Such a job is
//! known until the next one of its kind, and in no history.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::error::JobError;
use super::live::Ended;
use super::rows::{self, Asked};
use super::run::Run;
use super::view::{JobLine, JobState, JobView};
use super::watch::Watch;
use crate::access::{Grant, ReadServer, RunJobs, System};
use crate::lifecycle::job::{Context, Finished, Job, Unfinished, json, within};
use crate::model::audit::Actor;
use crate::store::meta::{Meta, ReadTx, StoreError};
use crate::wire::JobKind;

/// The jobs of a server.
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    meta: Arc<Meta>,
    runtime: Handle,
    known: Mutex<Known>,
    /// Whether the server stops.
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    /// The last job of each kind that this server has started.
    slots: Vec<Slot>,
    /// The last job of each kind that came to its end, without its result.
    done: Vec<JobView>,
    stopped: bool,
}

struct Slot {
    run: Arc<Run>,
    thread: Option<JoinHandle<()>>,
}

impl Slot {
    /// Whether the job works. A thread that ended without a word is in the way of no other job.
    fn is_running(&self) -> bool {
        self.run.live.is_running() && self.thread.as_ref().is_none_or(|thread| !thread.is_finished())
    }
}

impl Jobs {
    /// The jobs of a server that has just started. Those that its predecessor has left are marked as
    /// interrupted.
    pub async fn open(meta: Arc<Meta>, runtime: Handle) -> Self {
        let done = rows::recover(&meta).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the jobs of the last run cannot be marked as interrupted");
            Vec::new()
        });
        let known = Mutex::new(Known { done, ..Known::default() });
        Self { shared: Arc::new(Shared { meta, runtime, known, stopping: watch::Sender::new(false) }) }
    }

    /// Starts a job for a caller. It returns when the job has its row, and an entry in the audit log.
    ///
    /// # Errors
    /// [`JobError::Runs`], and what else keeps it from being started.
    pub async fn start<J: Job>(
        &self,
        grant: &Grant<RunJobs>,
        job: J,
        params: J::Params,
    ) -> Result<JobView, JobError> {
        let by = grant.caller().principal.name().to_owned();
        self.begin(Asked::By(grant.carry()), by, job, params).await
    }

    /// Starts a job for the server itself.
    ///
    /// # Errors
    /// [`JobError::Runs`], and what else keeps it from being started.
    pub async fn start_by_system<J: Job>(
        &self,
        _grant: &Grant<System>,
        job: J,
        params: J::Params,
    ) -> Result<JobView, JobError> {
        self.begin(Asked::System, Actor::SYSTEM.name.to_owned(), job, params).await
    }

    async fn begin<J: Job>(
        &self,
        asked: Asked,
        by: String,
        job: J,
        params: J::Params,
    ) -> Result<JobView, JobError> {
        let (reply, begun) = oneshot::channel();
        self.enter(asked, by, job, params, reply)?;
        // The thread goes on when the caller does not wait any more.
        begun.await.unwrap_or(Err(JobError::Store(StoreError::Failed)))
    }

    /// Starts the thread of a job, if none of its kind works.
    fn enter<J: Job>(
        &self,
        asked: Asked,
        by: String,
        job: J,
        params: J::Params,
        reply: oneshot::Sender<Result<JobView, JobError>>,
    ) -> Result<(), JobError> {
        let mut known = self.shared.known();
        let running = known.slots.iter().find(|slot| slot.run.kind == J::KIND && slot.is_running());
        if let Some(Slot { run, .. }) = running {
            return Err(JobError::Runs { kind: run.kind, id: run.id });
        }
        let run = Arc::new(Run::new(J::KIND, json(&params), by, self.shared.meta.clock()));
        if known.stopped {
            run.live.cancel();
        }
        let (shared, own) = (Arc::clone(&self.shared), Arc::clone(&run));
        let thread = std::thread::spawn(move || {
            let began = shared.begin(&own, asked);
            let goes_on = began.is_ok();
            // No caller waits when the client has gone.
            let _ = reply.send(began);
            if goes_on {
                shared.work(&own, &job, &params);
            }
        });
        known.slots.retain(|slot| slot.run.kind != J::KIND);
        known.slots.push(Slot { run, thread: Some(thread) });
        Ok(())
    }

    /// Asks what is under way to end, and everything that begins from now on: a server that stops waits for
    /// the answers of those who wait for a job.
    pub fn end(&self) {
        let mut known = self.shared.known();
        known.stopped = true;
        for slot in &known.slots {
            slot.run.live.cancel();
        }
        self.shared.stopping.send_replace(true);
    }

    /// Ends what is under way and waits until its rows say so.
    pub fn stop(&self) {
        self.end();
        let threads: Vec<_> =
            self.shared.known().slots.iter_mut().filter_map(|slot| slot.thread.take()).collect();
        for thread in threads {
            // A panic of its own was reported as the job's end.
            let _ = thread.join();
        }
    }

    /// Up to `limit` jobs of a kind, or of all kinds, the newest first: those whose order is below `before`.
    pub async fn list(
        &self,
        _grant: &Grant<ReadServer>,
        kind: Option<JobKind>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<JobView>, JobError> {
        let stored = self.shared.meta.scan(move |tx| rows::list(tx, kind.map(JobKind::as_str))).await;
        let mut jobs = stored.map_err(JobError::Store)?;
        let known = self.shared.known();
        for Slot { run, .. } in
            known.slots.iter().filter(|slot| kind.is_none_or(|kind| kind == slot.run.kind))
        {
            // It knows more than its row.
            let view = JobView { result: None, ..run.view() };
            match jobs.iter_mut().find(|job| job.job.id == run.id) {
                Some(job) => *job = view,
                None => jobs.push(view),
            }
        }
        drop(known);
        jobs.sort_by_key(|job| Reverse(job.order));
        // Jobs without a row have places of their own, too.
        for (place, job) in jobs.iter_mut().filter(|job| job.order == u64::MAX).enumerate() {
            job.order -= place as u64;
        }
        jobs.retain(|job| before.is_none_or(|before| job.order < before));
        jobs.truncate(limit);
        Ok(jobs)
    }

    /// One job with what it found, when it has ended or `patience` is over.
    pub async fn show(
        &self,
        _grant: &Grant<ReadServer>,
        id: Uuid,
        patience: Duration,
    ) -> Result<Option<JobView>, JobError> {
        let Some(run) = self.shared.find(id) else {
            return Ok(self.shared.meta.scan(move |tx| rows::find(tx, id)).await?);
        };
        if !patience.is_zero() {
            run.live.wait(patience).await;
        }
        Ok(Some(run.view()))
    }

    /// What a job said.
    pub async fn log(&self, _grant: &Grant<ReadServer>, id: Uuid) -> Result<Option<Vec<JobLine>>, JobError> {
        match self.shared.find(id) {
            Some(run) => Ok(Some(run.live.lines())),
            None => Ok(self.shared.meta.scan(move |tx| rows::lines(tx, id)).await?),
        }
    }

    /// What happens to a job from now on, and what it has said so far.
    pub async fn watch(&self, _grant: &Grant<ReadServer>, id: Uuid) -> Result<Option<Watch>, JobError> {
        if let Some(run) = self.shared.find(id) {
            return Ok(Some(Watch::follow(run, self.shared.stopping.subscribe())));
        }
        let read = move |tx: &ReadTx| Ok::<_, StoreError>(rows::find(tx, id)?.zip(rows::lines(tx, id)?));
        let stored = self.shared.meta.scan(read).await?;
        Ok(stored.map(|(job, lines)| Watch::ended(job, lines)))
    }

    /// Asks a job to end, which it does soon, and notes it in the audit log. One that has ended, or was asked
    /// before, stays as it is.
    pub async fn cancel(&self, grant: &Grant<RunJobs>, id: Uuid) -> Result<Option<JobView>, JobError> {
        let Some(run) = self.shared.find(id) else {
            return Ok(self.shared.meta.scan(move |tx| rows::find(tx, id)).await?);
        };
        if !run.live.is_running() || run.live.is_cancelled() {
            return Ok(Some(run.view()));
        }
        let (shared, grant) = (Arc::clone(&self.shared), grant.carry());
        // What is in the audit log is done, also when the client goes in between.
        let cancelled = self.shared.runtime.spawn(async move { shared.cancel(&run, grant).await });
        cancelled.await.unwrap_or(Err(JobError::Store(StoreError::Failed))).map(Some)
    }

    /// Whether a job of a kind works.
    pub fn runs(&self, kind: JobKind) -> bool {
        self.shared.known().slots.iter().any(|slot| slot.run.kind == kind && slot.is_running())
    }

    /// The newest result of a kind, also of a job that was ended or still works.
    pub fn last_result(&self, _grant: &Grant<ReadServer>, kind: JobKind) -> Option<String> {
        self.shared.last_result(kind)
    }

    /// The last job of a kind that came to its end, without its result.
    pub fn last_done(&self, _grant: &Grant<ReadServer>, kind: JobKind) -> Option<JobView> {
        self.shared.known().done.iter().find(|job| job.job.kind == kind.as_str()).cloned()
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: Uuid) -> Option<Arc<Run>> {
        self.known().slots.iter().find(|slot| slot.run.id == id).map(|slot| Arc::clone(&slot.run))
    }

    /// Writes the first row of a job.
    fn begin(&self, run: &Run, asked: Asked) -> Result<JobView, JobError> {
        match self.runtime.block_on(rows::begin(&self.meta, run.row(), asked)) {
            Ok(sequence) => {
                // It is set once.
                let _ = run.sequence.set(sequence);
            }
            Err(JobError::Store(error)) => has_no_row(run, &error),
            Err(refused) => {
                self.known().slots.retain(|slot| slot.run.id != run.id);
                return Err(refused);
            }
        }
        Ok(run.view())
    }

    /// Does the work and says how it ended, even when a damaged page ends it in a panic.
    fn work<J: Job>(&self, run: &Run, job: &J, params: &J::Params) {
        let (save, earlier) = (|| self.save(run), || self.last_result(run.kind));
        let context = Context::new(&run.live, &save, &earlier);
        let worked = catch_unwind(AssertUnwindSafe(|| job.run(params, &context)));
        let (state, problems, error, output) = match worked {
            Ok(Ok(Finished { output, problems })) => (JobState::Done, problems, None, Some(output)),
            Ok(Err(Unfinished::Cancelled)) => (JobState::Cancelled, 0, None, None),
            Ok(Err(Unfinished::Failed(why))) => (JobState::Failed, 0, Some(why), None),
            Err(_) => {
                tracing::error!(job = %run.id, kind = %run.kind, "a job ended in a panic: the database is damaged");
                let why = "reading the database ended in a panic; stop the server and run: stowage fsck";
                (JobState::Failed, 0, Some(why.to_owned()), None)
            }
        };
        // A job that did not come to its end has what it had found.
        let kept = run.live.kept().filter(|_| output.is_none());
        let result = output.as_ref().map(|output| Arc::from(json(output))).or_else(|| kept.clone());
        let at_ms = self.meta.clock().now().wall_ms;
        let ended = Ended { state, at_ms, problems, error, result };
        let stored = output.and_then(|output| within::<J>(&output));
        self.end(run, &ended, stored.or_else(|| kept.map(|kept| kept.to_string())));
        run.live.end(ended);
        if state == JobState::Done {
            let mut known = self.known();
            known.done.retain(|job| job.job.kind != run.kind.as_str());
            known.done.push(JobView { result: None, ..run.view() });
        }
    }

    /// Writes how far a job is.
    fn save(&self, run: &Run) {
        let Some(sequence) = run.sequence.get() else { return };
        let unsaved = run.live.unsaved();
        let (standing, found) = ((run.progress(), &unsaved), run.live.kept().map(|found| found.to_string()));
        match self.runtime.block_on(rows::save(&self.meta, *sequence, standing, found)) {
            Ok(()) => run.live.saved(&unsaved),
            Err(error) => {
                tracing::debug!(job = %run.id, %error, "the progress of a job could not be written");
            }
        }
    }

    /// The newest result of a kind.
    fn last_result(&self, kind: JobKind) -> Option<String> {
        let found = self.meta.get(|tx| rows::last_result(tx, kind.as_str()));
        found.unwrap_or_else(|error| {
            tracing::warn!(%kind, %error, "the result of the last job cannot be read");
            None
        })
    }

    /// Writes how a job ended, before those who wait for it are told.
    fn end(&self, run: &Run, ended: &Ended, result: Option<String>) {
        let Some(sequence) = run.sequence.get() else { return };
        let unsaved = run.live.unsaved();
        let standing = (run.progress(), &unsaved);
        if let Err(error) = self.runtime.block_on(rows::end(&self.meta, *sequence, standing, ended, result)) {
            tracing::warn!(job = %run.id, kind = %run.kind, %error, "the end of a job could not be written");
        }
    }

    async fn cancel(&self, run: &Run, grant: Grant<RunJobs>) -> Result<JobView, JobError> {
        let by = grant.caller().principal.name().to_owned();
        match rows::cancel(&self.meta, grant, rows::target(run.kind.as_str(), run.id)).await {
            Ok(()) => {}
            // A job is never in the way of what puts a store right.
            Err(JobError::Store(error)) => {
                tracing::warn!(job = %run.id, by, %error, "a job is cancelled without an entry in the audit log");
            }
            Err(refused) => return Err(refused),
        }
        run.live.log(format!("{by} asked the job to end"));
        run.live.cancel();
        Ok(run.view())
    }
}

fn has_no_row(run: &Run, error: &StoreError) {
    tracing::warn!(
        job = %run.id,
        kind = %run.kind,
        by = run.by,
        %error,
        "a job works without a row: it will be in no history, and is not in the audit log"
    );
}
