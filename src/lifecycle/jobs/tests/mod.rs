//! The runner on a store of its own: what is told of jobs, what their rows say, and how many there are.

mod compact;
mod history;
mod runs;
mod watch;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::live::{MAX_LINE, MAX_LINES};
use super::rows::{self, KEPT_JOBS, KEPT_RESULTS, MAX_RESULT};
use super::*;
use crate::access::tests::{local, open_store};
use crate::access::{
    Access, Caller, Credential, Grant, Policy, Principal, ReadServer, RunJobs, Scopes, System,
};
use crate::config::DumpsConfig;
use crate::lifecycle::dumps::Dumps;
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::names::{Sequence, UserId};
use crate::registry::fsck::Progress;
use crate::store::meta::schema::{self, AuditEntry, JobProgress, User};
use crate::store::meta::{FILE_NAME, Meta, StoreError, Tx as _};
use crate::wire::{JobKind, Report};

const PATIENCE: Duration = Duration::from_mins(1);

type Work = dyn Fn(&Context<'_>) -> Result<Finished<Value>, Unfinished> + Send;

/// A check that does what a test wants.
struct Probe(Box<Work>);

impl Job for Probe {
    const KIND: JobKind = JobKind::Check;
    type Params = CheckParams;
    type Output = Value;

    fn run(&self, _: &CheckParams, context: &Context<'_>) -> Result<Finished<Value>, Unfinished> {
        (self.0)(context)
    }
}

fn probe(work: impl Fn(&Context<'_>) -> Result<Finished<Value>, Unfinished> + Send + 'static) -> Probe {
    Probe(Box::new(work))
}

/// A check with this report.
struct Large(Report);

impl Job for Large {
    const KIND: JobKind = JobKind::Check;
    type Params = CheckParams;
    type Output = Report;

    fn run(&self, _: &CheckParams, _: &Context<'_>) -> Result<Finished<Report>, Unfinished> {
        Ok(Finished { output: self.0.clone(), problems: 5_000 })
    }

    fn shortened(output: &Report, halvings: u32) -> Option<Report> {
        CheckJob::shortened(output, halvings)
    }
}

/// One that ends at once.
fn quick() -> Probe {
    probe(|_| Ok(Finished { output: json!({}), problems: 0 }))
}

/// One that works until it is cancelled.
fn endless() -> Probe {
    probe(|context| {
        while context.progress(progress(7)).is_continue() {
            std::thread::yield_now();
        }
        Err(Unfinished::Cancelled)
    })
}

const fn progress(done: u64) -> Progress {
    Progress { stage: "rows", done, total: 10, bytes: 0 }
}

/// A server of jobs.
struct Site {
    jobs: Jobs,
    access: Access,
    meta: Arc<Meta>,
    runtime: Runtime,
    directory: TempDir,
}

impl Site {
    fn new() -> Self {
        Self::open(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn open(directory: TempDir) -> Self {
        let (meta, runtime) = open_store(&directory, || 4_000_000_000_000);
        let access = Access::new(Arc::clone(&meta), Policy::SignIn { anonymous_pull: false }).unwrap();
        let jobs = runtime.block_on(Jobs::open(Arc::clone(&meta), runtime.handle().clone()));
        Self { jobs, access, meta, runtime, directory }
    }

    /// Another server on the same store. The first one has ended without a word to its jobs, as far as a
    /// process can that lives on.
    fn again(self) -> Self {
        let Self { jobs, access, meta, runtime, directory } = self;
        meta.close();
        jobs.stop();
        drop((jobs, access, meta, runtime));
        Self::open(directory)
    }

    fn runs(&self) -> Grant<RunJobs> {
        self.access.site(&local()).unwrap()
    }

    fn reads(&self) -> Grant<ReadServer> {
        self.access.site(&local()).unwrap()
    }

    fn system(&self) -> Grant<System> {
        self.access.system("test")
    }

    fn start(&self, probe: Probe) -> Result<JobView, JobError> {
        self.runtime.block_on(self.jobs.start(&self.runs(), probe, CheckParams::default()))
    }

    fn show(&self, id: Uuid) -> Option<JobView> {
        self.runtime.block_on(self.jobs.show(&self.reads(), id, PATIENCE)).unwrap()
    }

    /// A job's end.
    fn ended(&self, probe: Probe) -> JobView {
        let id = self.start(probe).unwrap().job.id;
        self.show(id).unwrap()
    }

    fn list(&self) -> Vec<JobView> {
        self.runtime.block_on(self.jobs.list(&self.reads(), None, None, 1000)).unwrap()
    }

    fn log(&self, id: Uuid) -> Vec<String> {
        let lines = self.runtime.block_on(self.jobs.log(&self.reads(), id)).unwrap().unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    fn watch(&self, id: Uuid) -> Option<Watch> {
        self.runtime.block_on(self.jobs.watch(&self.reads(), id)).unwrap()
    }

    /// The events from here to the end.
    fn events(&self, mut watch: Watch) -> Vec<JobEvent> {
        self.runtime.block_on(async {
            let mut events = Vec::new();
            while let Some(event) = watch.next().await {
                events.push(event);
            }
            events
        })
    }

    fn cancel(&self, id: Uuid) -> Option<JobView> {
        self.runtime.block_on(self.jobs.cancel(&self.runs(), id)).unwrap()
    }

    /// Rows of jobs, ids, lines and results.
    fn rows(&self) -> [u64; 4] {
        let read = self.meta.get(|tx| {
            Ok::<_, StoreError>([
                tx.count(&schema::JOB)?,
                tx.count(&schema::JOB_ID)?,
                tx.count(&schema::JOB_LOG)?,
                tx.count(&schema::JOB_RESULT)?,
            ])
        });
        read.unwrap()
    }

    fn audited(&self) -> Vec<(String, String, String)> {
        let mut entries = Vec::new();
        let read = self.meta.read_blocking(|tx| {
            tx.scan_all(&schema::AUDIT, |_, AuditEntry { actor, action, target, .. }| {
                entries.push((actor, action, target));
                ControlFlow::Continue(())
            })
        });
        read.unwrap_or_else(|error: StoreError| panic!("{error}"));
        entries
    }

    fn commits(&self) -> u64 {
        self.meta.get(|tx| tx.get(&schema::CLOCK, ())).unwrap().unwrap().commits
    }
}
