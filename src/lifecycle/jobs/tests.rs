//! The runner on a store of its own: what is told of jobs, what their rows say, and how many there are.

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

#[test]
fn a_job_is_told_of_while_it_works_at_its_end_and_after_a_restart() {
    let site = Site::new();
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let begun = site.start(probe(move |context| {
        context.log("a line");
        let goes_on = context.progress(progress(3));
        wait.lock().unwrap().recv().unwrap();
        assert_eq!(goes_on, ControlFlow::Continue(()));
        Ok(Finished { output: json!({"found": 7}), problems: 2 })
    }));
    let id = begun.unwrap().job.id;
    let stored = site.meta.get(|tx| rows::find(tx, id)).unwrap().unwrap();
    assert_eq!((stored.job.state, &*stored.job.by, stored.job.ended_ms), (JobState::Running, "root", None));
    assert_eq!(site.list()[0].job.state, JobState::Running);
    go.send(()).unwrap();
    let shown = site.show(id).unwrap();
    let JobView { job, result, .. } = &shown;
    assert_eq!((job.state, job.problems, &job.error), (JobState::Done, 2, &None));
    assert_eq!((&*job.progress.stage, job.progress.done, job.ended_ms), ("rows", 3, Some(4_000_000_000_000)));
    assert_eq!(result.as_deref(), Some(r#"{"found":7}"#));
    assert_eq!(site.log(id), ["a line"]);
    let site = site.again();
    assert_eq!(site.show(id), Some(shown.clone()));
    assert_eq!(site.list(), [JobView { result: None, ..shown.clone() }]);
    assert_eq!(site.log(id), ["a line"]);
    let last = site.jobs.last_done(&site.reads(), JobKind::Check);
    assert_eq!(last, Some(JobView { result: None, ..shown }));
    assert_eq!(site.jobs.last_done(&site.reads(), JobKind::Dump), None);
    assert_eq!(site.show(Uuid::new_v4()), None);
}

#[test]
fn one_job_of_a_kind_works_at_a_time_and_ends_when_it_is_asked_to() {
    let site = Site::new();
    let first = site.start(endless()).unwrap().job.id;
    let refused = site.start(quick()).unwrap_err();
    assert_eq!(refused.to_string(), format!("a check is already running: job {first}"));
    site.cancel(first).unwrap();
    site.cancel(first).unwrap();
    let ended = site.show(first).unwrap();
    assert_eq!((ended.job.state, ended.result), (JobState::Cancelled, None));
    assert_eq!(site.log(first), ["root asked the job to end"]);
    let second = site.ended(quick()).job.id;
    assert_eq!(site.cancel(second).unwrap().job.state, JobState::Done);
    assert_eq!(site.list().iter().map(|job| job.job.id).collect::<Vec<_>>(), [second, first]);
    let entry = |action: &str, id| ("root".to_owned(), action.to_owned(), format!("check/{id}"));
    let expected = [entry("job.start", first), entry("job.cancel", first), entry("job.start", second)];
    assert_eq!(site.audited(), expected);
}

#[test]
fn a_panic_is_a_failure_and_a_failure_has_its_reason() {
    let site = Site::new();
    let panicked = site.ended(probe(|_| panic!("a damaged page"))).job;
    assert_eq!(panicked.state, JobState::Failed);
    assert!(panicked.error.unwrap().contains("stowage fsck"));
    let failed = site.ended(probe(|_| Err(Unfinished::Failed("no such file".to_owned())))).job;
    assert_eq!((failed.state, failed.error.as_deref()), (JobState::Failed, Some("no such file")));
    assert_eq!(site.jobs.last_done(&site.reads(), JobKind::Check), None);
}

#[test]
fn a_history_is_short_however_much_its_jobs_say_and_find() {
    let site = Site::new();
    for round in 0..KEPT_JOBS + 10 {
        let ended = site.ended(probe(move |context| {
            for line in 0..MAX_LINES + 5 {
                context.log(format!("{round}.{line}: {}", "é".repeat(MAX_LINE)));
            }
            Ok(Finished { output: json!(round), problems: 0 })
        }));
        assert_eq!(ended.job.state, JobState::Done);
    }
    let kept = KEPT_JOBS as u64;
    assert_eq!(site.rows(), [kept, kept, kept * MAX_LINES as u64, KEPT_RESULTS as u64]);
    let list = site.list();
    assert!(list.windows(2).all(|pair| pair[0].order > pair[1].order));
    let (newest, oldest) = (list[0].job.id, list[KEPT_JOBS - 1].job.id);
    let site = site.again();
    for (id, round) in [(newest, KEPT_JOBS + 9), (oldest, 10)] {
        let lines = site.log(id);
        assert_eq!((lines.len(), &*lines[MAX_LINES - 1]), (MAX_LINES, "6 more lines are left out"));
        assert!(lines[0].starts_with(&format!("{round}.0: éé")) && lines[0].ends_with("é…"), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE));
    }
    assert_eq!(site.show(newest).unwrap().result.as_deref(), Some((KEPT_JOBS + 9).to_string().as_str()));
    assert_eq!(site.show(oldest).unwrap().result, None);
    let reads = site.reads();
    let pages = |before| site.jobs.list(&reads, Some(JobKind::Check), before, 20);
    let first = site.runtime.block_on(pages(None)).unwrap();
    let second = site.runtime.block_on(pages(Some(first[19].order))).unwrap();
    assert_eq!([first, second].concat(), list[..40]);
    let dumps = site.runtime.block_on(site.jobs.list(&site.reads(), Some(JobKind::Dump), None, 20));
    assert_eq!(dumps.unwrap(), []);
}

#[test]
fn a_report_that_is_too_long_for_a_row_is_cut_and_says_so() {
    let site = Site::new();
    let problem = crate::wire::Finding { found: "x".repeat(1000), ..Default::default() };
    let report = Report {
        checked: crate::wire::Checked::default(),
        problems: vec![problem; 5_000],
        notes: vec!["a note".to_owned()],
    };
    let half = CheckJob::shortened(&report, 1).unwrap();
    assert_eq!((half.problems.len(), half.notes.len()), (2_500, 2));
    assert_eq!(half.notes[1], "2500 more problems are not kept in the history");
    assert_eq!(CheckJob::shortened(&report, 13), None);
    let runs = site.runs();
    let started = site.jobs.start(&runs, Large(report.clone()), CheckParams::default());
    let id = site.runtime.block_on(started).unwrap().job.id;
    let read = |site: &Site| serde_json::from_str::<Report>(&site.show(id).unwrap().result.unwrap()).unwrap();
    assert_eq!(read(&site), report, "its server has all of it");
    let site = site.again();
    let kept = read(&site);
    assert_eq!((kept.problems.len(), site.show(id).unwrap().job.problems), (625, 5_000));
    assert_eq!(kept.notes, ["a note", "4375 more problems are not kept in the history"]);
    assert!(site.show(id).unwrap().result.unwrap().len() <= MAX_RESULT);
}

#[test]
fn a_job_whose_server_was_killed_is_marked_as_interrupted() {
    let site = Site::new();
    let id = site.start(endless()).unwrap().job.id;
    let site = site.again();
    let job = site.show(id).unwrap().job;
    assert_eq!((job.state, job.ended_ms), (JobState::Interrupted, None));
    assert_eq!(job.error.as_deref(), Some("the server ended while the job ran"));
    let commits = site.commits();
    let site = site.again();
    // The last commit of the writer, and none of the jobs.
    assert_eq!(site.commits(), commits + 1);
    assert_eq!(site.show(id).unwrap().job.state, JobState::Interrupted);
}

#[test]
fn a_stop_cancels_what_is_under_way_and_its_row_says_so() {
    let site = Site::new();
    let id = site.start(endless()).unwrap().job.id;
    site.jobs.stop();
    assert_eq!(site.meta.get(|tx| rows::find(tx, id)).unwrap().unwrap().job.state, JobState::Cancelled);
    let late = site.ended(endless()).job;
    assert_eq!(late.state, JobState::Cancelled, "nothing begins behind the stop");
}

#[test]
fn a_store_that_takes_no_change_keeps_no_job_from_its_work() {
    let site = Site::new();
    let kept = site.ended(quick());
    std::fs::remove_file(site.directory.path().join(FILE_NAME)).unwrap();
    let begun = site.start(quick()).unwrap();
    assert_eq!(begun.order, u64::MAX);
    let ended = site.show(begun.job.id).unwrap();
    assert_eq!(ended.job.state, JobState::Done);
    assert_eq!(site.list(), [ended, kept].map(|job| JobView { result: None, ..job }));
    let again = site.start(endless()).unwrap().job.id;
    assert_eq!(site.cancel(again).unwrap().job.id, again);
    assert_eq!(site.show(again).unwrap().job.state, JobState::Cancelled);
}

#[test]
fn a_damaged_row_keeps_no_other_job_from_being_shown_started_or_removed() {
    let site = Site::new();
    let first = site.ended(quick());
    let damaged = schema::JOB.raw();
    let order = first.order;
    let forged =
        site.meta.write(move |tx| tx.put(&damaged, Sequence(order), &crate::store::meta::Raw(vec![9])));
    site.runtime.block_on(forged).unwrap();
    let site = site.again();
    for _ in 0..KEPT_JOBS + 5 {
        site.ended(quick());
    }
    assert_eq!(site.list().len(), KEPT_JOBS);
    assert_eq!(site.rows()[0], KEPT_JOBS as u64 + 1);
}

#[test]
fn the_rows_of_a_job_make_no_dump_due() {
    let site = Site::new();
    let dumps = Dumps::new(site.directory.path(), DumpsConfig { every: "1s".parse().unwrap(), keep: 2 });
    let dumps = Arc::new(dumps);
    let dump = || {
        let job = DumpJob::new(Arc::clone(&site.meta), Arc::clone(&dumps));
        let begun = site.runtime.block_on(site.jobs.start_by_system(&site.system(), job, DumpParams {}));
        site.show(begun.unwrap().job.id).unwrap()
    };
    let before = site.meta.changes();
    let made = dump();
    assert_eq!((made.job.state, &*made.job.by, made.job.error), (JobState::Done, "system", None));
    let result: Value = serde_json::from_str(&made.result.unwrap()).unwrap();
    assert_eq!((&result["file"], &result["damaged"]), (&json!("rows-00000001.dump"), &json!(0)));
    assert_eq!(site.meta.changes(), before);
    assert!(site.audited().is_empty());
    // What a caller starts is in the audit log, which a dump has.
    site.ended(quick());
    assert_eq!(site.meta.changes(), before + 1);
    // A dump has no job: the first one told of nothing but the format, the clock and the like.
    let rows = |made: &str| serde_json::from_str::<Value>(made).unwrap()["rows"].as_u64().unwrap();
    let first = rows(&result.to_string());
    assert_eq!(rows(&dump().result.unwrap()), first + 1, "the entry of the audit log");
}

#[test]
fn a_dump_is_due_when_something_has_changed_or_the_last_one_is_gone() {
    let site = Site::new();
    let every = "1s".parse().unwrap();
    let dumps = Dumps::new(site.directory.path(), DumpsConfig { every, keep: 2 });
    let now_ms = 4_000_000_000_000;
    assert!(dumps.due(now_ms, 0), "there is none yet");
    assert!(!dumps.due(now_ms, 1), "an attempt was just made");
    let written = site.meta.dump(dumps.place().0, 2).unwrap();
    dumps.made(1);
    let wait = || std::thread::sleep(Duration::from_millis(1_100));
    wait();
    assert!(!dumps.due(now_ms, 1), "nothing has changed");
    assert!(dumps.due(now_ms, 2), "something has changed");
    dumps.made(2);
    wait();
    std::fs::remove_file(written.path).unwrap();
    assert!(dumps.due(now_ms, 2), "the dump is gone");
}

#[test]
fn progress_is_kept_in_memory_and_written_seldom() {
    let site = Site::new();
    let commits = site.commits();
    let ended = site.ended(probe(|context| {
        assert!((0..100_000).all(|done| context.progress(progress(done)).is_continue()));
        Ok(Finished { output: json!({}), problems: 0 })
    }));
    assert_eq!(
        ended.job.progress,
        JobProgress { stage: "rows".to_owned(), done: 99_999, total: 10, bytes: 0 }
    );
    // Its beginning and its end; more only where these took longer than ten seconds.
    assert!(site.commits() - commits <= 3, "{} commits", site.commits() - commits);
}

#[test]
fn a_permission_that_was_withdrawn_starts_nothing_and_cancels_nothing() {
    let site = Site::new();
    let set = |user: User| {
        let changed = site.meta.write(move |tx| {
            tx.put(&schema::USER, UserId(7), &user)?;
            tx.raise_epoch()
        });
        site.runtime.block_on(changed).unwrap_or_else(|error: StoreError| panic!("{error}"));
    };
    set(User { admin: true, ..User::sample("hanna") });
    let principal = Principal::User {
        id: UserId(7),
        name: "hanna".into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        claims: None,
    };
    let grant: Grant<RunJobs> = site.access.site(&Caller { principal, address: None }).unwrap();
    let running = site.start(endless()).unwrap().job.id;
    set(User { disabled: true, admin: true, ..User::sample("hanna") });
    let cancelled = site.runtime.block_on(site.jobs.cancel(&grant, running));
    assert!(matches!(cancelled, Err(JobError::Withdrawn)), "{cancelled:?}");
    site.cancel(running).unwrap();
    site.show(running).unwrap();
    let refused = site.runtime.block_on(site.jobs.start(&grant, quick(), CheckParams::default()));
    assert!(matches!(refused, Err(JobError::Withdrawn)), "{refused:?}");
    assert_eq!(site.rows()[0], 1);
    assert!(site.audited().iter().all(|(actor, ..)| actor == "root"));
}
