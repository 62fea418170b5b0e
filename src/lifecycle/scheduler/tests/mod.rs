//! The scheduler on a store of its own, by clocks that show what a test wants.

mod changes;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::access::tests::{local, open_store};
use crate::access::{Caller, Credential, Policy, Principal, Scopes};
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::names::UserId;
use crate::registry::fsck::Progress;
use crate::store::meta::schema::{self, AuditEntry, User};
use crate::store::meta::{FILE_NAME, Raw, Tx as _};

/// What the clock of the store shows: 2096-10-02 07:06:40 UTC.
const NOW_MS: u64 = 4_000_000_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The first full hour after that.
const EIGHT: u64 = NOW_MS + 3_200_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// A job that works as long as it has to, of one kind or of another.
struct Probe<const DUMP: bool>(Arc<AtomicBool>);

#[derive(Serialize, Deserialize)]
struct NoParams {}

impl<const DUMP: bool> Job for Probe<DUMP> {
    const KIND: JobKind = if DUMP { JobKind::Dump } else { JobKind::Check };
    type Params = NoParams;
    type Output = Value;

    fn run(&self, _: &NoParams, context: &Context<'_>) -> Result<Finished<Value>, Unfinished> {
        let progress = Progress { stage: "rows", done: 1, total: 1, bytes: 0 };
        while self.0.load(Ordering::Acquire) && context.progress(progress) == ControlFlow::Continue(()) {
            std::thread::yield_now();
        }
        Ok(Finished { output: json!({}), problems: 0 })
    }
}

struct Site {
    scheduler: Arc<Scheduler>,
    busy: Arc<AtomicBool>,
    runtime: Runtime,
    directory: TempDir,
}

fn config(check: &str) -> Config {
    let mut config = Config::default();
    config.scheduler.check = check.parse().unwrap();
    config
}

impl Site {
    /// A server with two jobs that run at these times.
    fn new(check: &str) -> Self {
        Self::open(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(), check, true)
    }

    /// A server with one job.
    fn with_one(check: &str) -> Self {
        Self::open(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(), check, false)
    }

    fn open(directory: TempDir, check: &str, two: bool) -> Self {
        let (meta, runtime) = open_store(&directory, || NOW_MS);
        let last_worked_ms = Scheduler::last_worked_ms(&meta);
        let access =
            Arc::new(Access::new(Arc::clone(&meta), Policy::SignIn { anonymous_pull: false }).unwrap());
        let jobs = Arc::new(runtime.block_on(Jobs::open(Arc::clone(&meta), runtime.handle().clone())));
        let busy = Arc::new(AtomicBool::new(false));
        let one = Arc::clone(&busy);
        let other = Arc::clone(&busy);
        let mut entries = vec![entry::entry(
            (&jobs, &access),
            "scheduler.check",
            |config| &config.scheduler.check,
            move || (Probe::<false>(Arc::clone(&one)), NoParams {}),
        )];
        if two {
            let probe = move || (Probe::<true>(Arc::clone(&other)), NoParams {});
            let by = (&jobs, &access);
            entries.push(entry::entry(by, "scheduler.check", |config| &config.scheduler.check, probe));
        }
        let tools = (meta, access, jobs, runtime.handle().clone());
        let scheduler = Arc::new(Scheduler::with(tools, entries, &config(check), last_worked_ms));
        Self { scheduler, busy, runtime, directory }
    }

    /// The next server on the store.
    fn again(self, check: &str) -> Self {
        let Self { scheduler, busy, runtime, directory } = self;
        let two = scheduler.entries.len() == 2;
        scheduler.jobs.stop();
        scheduler.meta.close();
        drop((scheduler, busy, runtime));
        Self::open(directory, check, two)
    }

    /// A look at a clock that shows this, and the pause until the next one. Jobs that begin also end.
    fn step(&self, wall_ms: u64) -> Duration {
        let running_s = self.scheduler.meta.clock().now().running_s;
        let pause = self.runtime.block_on(self.scheduler.step(Now { wall_ms, running_s }));
        if !self.busy.load(Ordering::Acquire) {
            for job in self.ran() {
                self.runtime.block_on(self.scheduler.jobs.show(&self.reads(), job.job.id, PATIENCE)).unwrap();
            }
        }
        pause
    }

    fn reads(&self) -> Grant<ReadServer> {
        self.scheduler.access.site(&local()).unwrap()
    }

    fn runs(&self) -> Grant<RunJobs> {
        self.scheduler.access.site(&local()).unwrap()
    }

    fn ran(&self) -> Vec<JobView> {
        self.runtime.block_on(self.scheduler.jobs.list(&self.reads(), None, None, 1000)).unwrap()
    }

    /// How many runs there were.
    #[track_caller]
    fn assert_ran(&self, runs: usize) {
        let ran = self.ran();
        assert_eq!(ran.len(), runs, "{ran:?}");
    }

    fn set(&self, job: &str, when: &str) -> Result<ScheduleView, ScheduleError> {
        self.runtime.block_on(self.scheduler.set(&self.runs(), job, when))
    }

    fn reset(&self, job: &str) -> Result<ScheduleView, ScheduleError> {
        self.runtime.block_on(self.scheduler.reset(&self.runs(), job))
    }

    fn list(&self) -> Vec<ScheduleView> {
        self.runtime.block_on(self.scheduler.list(&self.reads())).unwrap()
    }

    fn commits(&self) -> u64 {
        self.scheduler.meta.get(|tx| tx.get(&schema::CLOCK, ())).unwrap().unwrap().commits
    }

    fn run_row(&self) -> Option<ScheduleRun> {
        self.scheduler.meta.get(|tx| tx.get(&schema::SCHEDULE_RUN, "check")).unwrap()
    }
}

#[test]
fn each_time_is_one_run() {
    let site = Site::with_one("hourly");
    assert_eq!(site.step(NOW_MS), LOOK_EVERY);
    assert_eq!(site.step(EIGHT - 20), Duration::from_millis(20));
    site.assert_ran(0);
    let commits = site.commits();
    assert_eq!(site.step(EIGHT), LOOK_EVERY);
    site.assert_ran(1);
    let row = site.run_row().unwrap();
    assert_eq!((row.due_ms, row.began_ms), (EIGHT, EIGHT));
    // The run's row, and the beginning and the end of the job.
    assert_eq!(site.commits(), commits + 3);
    for wall_ms in [EIGHT, EIGHT + 1, EIGHT + MINUTE, EIGHT + HOUR - 1] {
        site.step(wall_ms);
    }
    site.assert_ran(1);
    site.step(EIGHT + HOUR + 5);
    site.assert_ran(2);
    assert_eq!(site.run_row().unwrap().due_ms, EIGHT + HOUR);
    assert!(site.ran().iter().all(|job| job.job.by == "system"));
}

#[test]
fn what_is_not_due_writes_nothing() {
    for check in ["off", "daily 07:00"] {
        let site = Site::new(check);
        let commits = site.commits();
        let changes = site.scheduler.meta.changes();
        for minutes in 0..1_000 {
            assert_eq!(site.step(NOW_MS + minutes * MINUTE), LOOK_EVERY);
        }
        assert_eq!((site.commits(), site.scheduler.meta.changes()), (commits, changes), "{check}");
        site.assert_ran(0);
        let next = site.list()[0].next_ms;
        assert_eq!(next.is_some(), check != "off");
    }
}

#[test]
fn times_that_pass_without_a_server_are_one_run_and_several_jobs_begin_one_after_the_other() {
    let site = Site::new("daily 03:30");
    let site = site.again("daily 03:30");
    assert_eq!(site.step(NOW_MS + 3 * DAY), LOOK_EVERY);
    site.assert_ran(1);
    assert_eq!(site.step(NOW_MS + 3 * DAY + MINUTE), LOOK_EVERY);
    site.assert_ran(2);
    site.step(NOW_MS + 3 * DAY + 2 * MINUTE);
    site.assert_ran(2);
    // The last of the three times stands for all.
    let due_ms = site.run_row().unwrap().due_ms;
    assert!(due_ms > NOW_MS + 2 * DAY && due_ms < NOW_MS + 3 * DAY);
    let site = site.again("daily 03:30");
    site.step(NOW_MS + 3 * DAY + 10 * MINUTE);
    site.assert_ran(2);
    let site = site.again("daily 03:30");
    for minutes in 0..5 {
        site.step(NOW_MS + 20 * DAY + minutes * MINUTE);
    }
    site.assert_ran(4);
}

#[test]
fn a_clock_that_jumps_makes_no_time_run_twice() {
    let site = Site::with_one("hourly");
    site.step(EIGHT);
    site.assert_ran(1);
    // Back by up to a day: the times that ran are waited for.
    for wall_ms in [EIGHT - 30 * MINUTE, EIGHT, EIGHT - DAY, EIGHT - DAY + HOUR, EIGHT + 5 * MINUTE] {
        site.step(wall_ms);
    }
    site.assert_ran(1);
    site.step(EIGHT + HOUR);
    site.assert_ran(2);
    // Forward by more than a year: one run for all times between.
    let future = EIGHT + 400 * DAY;
    site.step(future);
    site.assert_ran(3);
    // And back: the times go on, and none at once.
    let back = EIGHT + HOUR + 5 * MINUTE;
    assert_eq!(site.step(back), LOOK_EVERY);
    site.assert_ran(3);
    site.step(EIGHT + 2 * HOUR);
    site.assert_ran(4);
    // To and fro.
    for _ in 0..5 {
        site.step(future);
        site.step(EIGHT + 2 * HOUR + 10 * MINUTE);
    }
    site.assert_ran(4);
}

#[test]
fn a_wrong_clock_of_the_last_server_keeps_no_job_from_running() {
    let site = Site::with_one("hourly");
    site.step(EIGHT + 400 * DAY);
    site.assert_ran(1);
    let site = site.again("hourly");
    assert_eq!(site.step(EIGHT + 5 * MINUTE), LOOK_EVERY);
    site.assert_ran(1);
    site.step(EIGHT + HOUR);
    site.assert_ran(2);
    // A computer without a battery starts in 1970, until it has asked for the time.
    let site = site.again("hourly");
    assert_eq!(site.step(5_000), LOOK_EVERY);
    site.step(EIGHT + HOUR + 5 * MINUTE);
    site.assert_ran(2);
    site.step(EIGHT + 2 * HOUR);
    site.assert_ran(3);
}

#[test]
fn a_job_that_still_works_lets_its_next_run_be_skipped() {
    let site = Site::with_one("hourly");
    site.busy.store(true, Ordering::Release);
    site.step(EIGHT);
    site.step(EIGHT + HOUR);
    site.assert_ran(1);
    assert_eq!(site.run_row().unwrap().due_ms, EIGHT + HOUR);
    site.busy.store(false, Ordering::Release);
    site.step(EIGHT + HOUR + MINUTE);
    site.assert_ran(1);
    site.step(EIGHT + 2 * HOUR);
    site.assert_ran(2);
}
