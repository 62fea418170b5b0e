//! Jobs: work that takes longer than an answer may. They live in memory and end with the server: a check
//! changes nothing, so there is nothing to go on with after a restart.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::access::{Grant, ReadServer, RunJobs};
use crate::registry::Registry;
use crate::registry::fsck::{CheckError, Progress, Report};
use crate::store::meta::clock::StoreClock;

/// Jobs that are remembered, the one under way among them. A report may list 10,000 problems.
const REMEMBERED: usize = 10;

/// What a job is doing, or how it ended.
#[derive(Clone, Debug)]
pub enum JobState {
    /// It works.
    Running,
    /// It is done.
    Done(Arc<Report>),
    /// It could not go on.
    Failed(String),
    /// An admin ended it, or the server stopped.
    Cancelled,
}

/// What is told of a job.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its id, which no other job ever has.
    pub id: Uuid,
    /// Whether every blob is read.
    pub deep: bool,
    /// Who asked for it.
    pub by: String,
    /// Since when, in Unix milliseconds.
    pub started_ms: u64,
    /// Until when, in Unix milliseconds.
    pub ended_ms: Option<u64>,
    /// How far it is.
    pub progress: Progress,
    /// What it is doing.
    pub state: JobState,
}

/// A check is under way already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a check is already running: job {id}")]
pub struct CheckRuns {
    /// That job.
    pub id: Uuid,
}

/// The jobs of a server.
pub struct Jobs {
    registry: Arc<Registry>,
    clock: StoreClock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The newest first.
    jobs: VecDeque<Arc<Job>>,
    thread: Option<JoinHandle<()>>,
    stopped: bool,
}

struct Job {
    id: Uuid,
    deep: bool,
    by: String,
    started_ms: u64,
    cancelled: AtomicBool,
    status: watch::Sender<Status>,
}

#[derive(Clone)]
struct Status {
    progress: Progress,
    ended_ms: Option<u64>,
    state: JobState,
}

impl Job {
    fn view(&self) -> JobView {
        let Status { progress, ended_ms, state } = self.status.borrow().clone();
        let Self { id, deep, by, started_ms, .. } = self;
        JobView { id: *id, deep: *deep, by: by.clone(), started_ms: *started_ms, ended_ms, progress, state }
    }

    fn is_running(&self) -> bool {
        self.status.borrow().ended_ms.is_none()
    }

    /// Does the work and says how it ended, even when a damaged page ends it in a panic.
    fn run(&self, registry: &Registry, clock: StoreClock, grant: &Grant<RunJobs>) {
        let mut on_progress = |progress| {
            self.status.send_modify(|status| status.progress = progress);
            if self.cancelled.load(Ordering::Acquire) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let checked = catch_unwind(AssertUnwindSafe(|| registry.check(grant, self.deep, &mut on_progress)));
        let state = match checked {
            Ok(Ok(report)) => {
                tracing::info!(job = %self.id, problems = report.problems.len(), "the check is complete");
                JobState::Done(Arc::new(report))
            }
            Ok(Err(CheckError::Ended)) => {
                tracing::info!(job = %self.id, "the check was cancelled");
                JobState::Cancelled
            }
            Ok(Err(CheckError::Store(error))) => {
                tracing::error!(job = %self.id, %error, "the check failed");
                JobState::Failed(error.to_string())
            }
            Err(_) => {
                tracing::error!(job = %self.id, "the check ended in a panic: the database is damaged");
                JobState::Failed(
                    "reading the database ended in a panic; stop the server and run: stowage fsck".to_owned(),
                )
            }
        };
        let ended_ms = Some(clock.now().wall_ms);
        self.status.send_modify(|status| (status.ended_ms, status.state) = (ended_ms, state));
    }
}

impl Jobs {
    /// The jobs of a server that has just started: none.
    pub fn new(registry: Arc<Registry>, clock: StoreClock) -> Self {
        Self { registry, clock, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: Uuid) -> Option<Arc<Job>> {
        self.known().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// Asks what is under way to end, and everything that begins from now on: a server that stops waits for
    /// the answers of those who wait for a job.
    pub fn end(&self) {
        let mut known = self.known();
        known.stopped = true;
        for job in &known.jobs {
            job.cancelled.store(true, Ordering::Release);
        }
    }

    /// Ends what is under way and waits for its end.
    pub fn stop(&self) {
        self.end();
        let thread = self.known().thread.take();
        if let Some(thread) = thread {
            // A panic of its own was reported as the job's end.
            let _ = thread.join();
        }
    }

    /// Starts a check of everything stored, while the server works.
    ///
    /// # Errors
    /// [`CheckRuns`]: two at once would only make each other slow.
    pub fn start_check(&self, grant: &Grant<RunJobs>, deep: bool) -> Result<JobView, CheckRuns> {
        let mut known = self.known();
        if let Some(running) = known.jobs.iter().find(|job| job.is_running()) {
            return Err(CheckRuns { id: running.id });
        }
        let progress = Progress { stage: "start", done: 0, total: 0, bytes: 0 };
        let (status, _) = watch::channel(Status { progress, ended_ms: None, state: JobState::Running });
        let job = Arc::new(Job {
            id: Uuid::new_v4(),
            deep,
            by: grant.caller().principal.name().to_owned(),
            started_ms: self.clock.now().wall_ms,
            cancelled: AtomicBool::new(known.stopped),
            status,
        });
        tracing::info!(job = %job.id, deep, by = job.by, "a check started");
        let (work, grant) = (Arc::clone(&job), grant.carry());
        let (registry, clock) = (Arc::clone(&self.registry), self.clock);
        known.thread = Some(std::thread::spawn(move || work.run(&registry, clock, &grant)));
        known.jobs.push_front(Arc::clone(&job));
        known.jobs.truncate(REMEMBERED);
        Ok(job.view())
    }

    /// The jobs that are remembered, the newest first.
    pub fn list(&self, _grant: &Grant<ReadServer>) -> Vec<JobView> {
        self.known().jobs.iter().map(|job| job.view()).collect()
    }

    /// One job, when it has ended or `patience` is over.
    pub async fn show(&self, _grant: &Grant<ReadServer>, id: Uuid, patience: Duration) -> Option<JobView> {
        let job = self.find(id)?;
        if !patience.is_zero() {
            let mut status = job.status.subscribe();
            // Running out of patience is an answer, too; the sender lives as long as the job is known.
            let _ = tokio::time::timeout(patience, status.wait_for(|status| status.ended_ms.is_some())).await;
        }
        Some(job.view())
    }

    /// Asks a job to end, which it does soon. One that has ended stays as it is.
    pub fn cancel(&self, _grant: &Grant<RunJobs>, id: Uuid) -> Option<JobView> {
        let job = self.find(id)?;
        job.cancelled.store(true, Ordering::Release);
        Some(job.view())
    }
}
