//! The scheduler: starts the jobs that run by themselves. Each has a schedule: that of the settings, or one
//! that an admin has set.
//!
//! A time for which a job is due counts once, however the clock jumps: the row of the last run says which
//! times are over. Times that pass while no server runs, or that a clock jumps over, are one run together.

mod entry;
mod error;
mod plan;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

pub use error::ScheduleError;

use self::entry::Entry;
use self::plan::{Due, Plan};
use super::Parts;
use super::jobs::{JobError, JobView, Jobs};
use crate::access::{Access, Grant, ReadServer, RunJobs, System};
use crate::config::{Config, Zone};
use crate::model::time::Now;
use crate::model::when::When;
use crate::store::meta::schema::{Schedule, ScheduleRun};
use crate::store::meta::{Meta, StoreError};
use crate::wire::JobKind;

/// How long a server has served before the first run, which may be one that was missed.
const SETTLE: Duration = Duration::from_secs(10);
/// The longest time between two looks at the clock, which may jump. Of several runs that were missed, one
/// begins with each look.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// The shortest time between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The jobs that run by themselves.
pub struct Scheduler {
    meta: Arc<Meta>,
    access: Arc<Access>,
    jobs: Arc<Jobs>,
    runtime: Handle,
    grant: Grant<System>,
    entries: Vec<Entry>,
    plans: Mutex<Plans>,
    /// Held from the change of a row until the plan has followed it.
    changing: tokio::sync::Mutex<()>,
    changed: Notify,
    serving: OnceLock<()>,
}

struct Plans {
    timezone: Zone,
    /// One for each entry, in their order.
    list: Vec<Plan>,
}

/// A schedule as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleView {
    /// What runs.
    pub kind: JobKind,
    /// When it runs.
    pub when: String,
    /// The time zone of that.
    pub timezone: String,
    /// The setting with the schedule that applies where none was set.
    pub setting: &'static str,
    /// Its value.
    pub configured: String,
    /// The schedule that an admin has set.
    pub set: Option<Schedule>,
    /// The next run, in Unix milliseconds.
    pub next_ms: Option<u64>,
    /// The last job of this kind, however it was started.
    pub last: Option<JobView>,
}

impl Scheduler {
    /// When the last server on this store is known to have worked, in Unix milliseconds. To be called before
    /// anything is changed.
    pub fn last_worked_ms(meta: &Meta) -> u64 {
        rows::last_worked_ms(meta)
    }

    /// The schedules of a server that starts. Nothing runs before [`Scheduler::serve`].
    pub fn open(parts: &Parts, config: &Config, last_worked_ms: u64) -> Arc<Self> {
        let Parts { meta, access, jobs, runtime, .. } = parts;
        let tools = (Arc::clone(meta), Arc::clone(access), Arc::clone(jobs), runtime.clone());
        Arc::new(Self::with(tools, entry::all(parts), config, last_worked_ms))
    }

    fn with(
        (meta, access, jobs, runtime): (Arc<Meta>, Arc<Access>, Arc<Jobs>, Handle),
        entries: Vec<Entry>,
        config: &Config,
        last_worked_ms: u64,
    ) -> Self {
        let now_ms = meta.clock().now().wall_ms;
        let plan = |entry: &Entry| {
            let (set, run) = rows::read(&meta, entry.kind);
            Plan::new((entry.configured)(config).clone(), set, run, last_worked_ms.min(now_ms))
        };
        let list = entries.iter().map(plan).collect();
        let plans = Plans { timezone: config.scheduler.timezone.clone(), list };
        Self {
            grant: access.system("scheduler"),
            meta,
            access,
            jobs,
            runtime,
            entries,
            plans: Mutex::new(plans),
            changing: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            serving: OnceLock::new(),
        }
    }

    /// Runs jobs from now on, because the server serves. A command that has opened the store never calls it.
    pub fn serve(self: &Arc<Self>) {
        if self.serving.set(()).is_err() {
            return;
        }
        let scheduler = Arc::clone(self);
        self.runtime.spawn(async move {
            tokio::time::sleep(SETTLE).await;
            loop {
                let pause = scheduler.step(scheduler.meta.clock().now()).await;
                // Both outcomes, the time-out and a changed schedule, mean that it is time to look.
                let _ = tokio::time::timeout(pause, scheduler.changed.notified()).await;
            }
        });
    }

    /// Puts other settings into force.
    pub fn reconfigure(&self, config: &Config) {
        let now_ms = self.meta.clock().now().wall_ms;
        let timezone = &config.scheduler.timezone;
        let mut plans = self.plans();
        let is_moved = plans.timezone != *timezone;
        plans.timezone = timezone.clone();
        for (entry, plan) in self.entries.iter().zip(&mut plans.list) {
            plan.configure((entry.configured)(config).clone(), is_moved, now_ms);
        }
        drop(plans);
        self.changed.notify_one();
    }

    /// Every schedule.
    pub async fn list(&self, grant: &Grant<ReadServer>) -> Result<Vec<ScheduleView>, ScheduleError> {
        let mut views = Vec::new();
        for entry in &self.entries {
            views.push(self.view(grant, entry.kind).await?);
        }
        Ok(views)
    }

    /// Sets the schedule of a job, which then overrides the settings.
    pub async fn set(
        self: &Arc<Self>,
        grant: &Grant<RunJobs>,
        job: &str,
        when: &str,
    ) -> Result<ScheduleView, ScheduleError> {
        let kind = self.kind(job)?;
        self.change(grant, kind, Some(when.parse()?)).await
    }

    /// Removes the schedule that was set for a job: the settings apply again.
    pub async fn reset(
        self: &Arc<Self>,
        grant: &Grant<RunJobs>,
        job: &str,
    ) -> Result<ScheduleView, ScheduleError> {
        let kind = self.kind(job)?;
        self.change(grant, kind, None).await
    }

    async fn change(
        self: &Arc<Self>,
        grant: &Grant<RunJobs>,
        kind: JobKind,
        when: Option<When>,
    ) -> Result<ScheduleView, ScheduleError> {
        let (scheduler, grant) = (Arc::clone(self), grant.carry());
        // What is stored is also followed, when the client goes in between.
        let changed = self.runtime.spawn(async move {
            let _changing = scheduler.changing.lock().await;
            let place = scheduler.place(kind)?;
            let set = rows::set(&scheduler.meta, grant, kind, when).await?;
            let now_ms = scheduler.meta.clock().now().wall_ms;
            scheduler.plans().list[place].set(set, now_ms);
            scheduler.changed.notify_one();
            scheduler.view(&scheduler.access.by_server(&scheduler.grant), kind).await
        });
        changed.await.unwrap_or(Err(ScheduleError::Store(StoreError::Failed)))
    }

    async fn view(&self, grant: &Grant<ReadServer>, kind: JobKind) -> Result<ScheduleView, ScheduleError> {
        let last = self.jobs.list(grant, Some(kind), None, 1).await?.pop();
        let place = self.place(kind)?;
        let now_ms = self.meta.clock().now().wall_ms;
        let plans = self.plans();
        let (entry, plan) = (&self.entries[place], &plans.list[place]);
        Ok(ScheduleView {
            kind,
            when: plan.when().to_string(),
            timezone: plans.timezone.to_string(),
            setting: entry.setting,
            configured: plan.configured().to_string(),
            set: plan.row().cloned(),
            next_ms: plan.next_ms(now_ms, plans.timezone.zone()).map(|next_ms| next_ms.max(now_ms)),
            last,
        })
    }

    fn kind(&self, job: &str) -> Result<JobKind, ScheduleError> {
        let entry = self.entries.iter().find(|entry| entry.kind.as_str() == job);
        entry.map(|entry| entry.kind).ok_or_else(|| ScheduleError::unknown(job))
    }

    fn place(&self, kind: JobKind) -> Result<usize, ScheduleError> {
        let place = self.entries.iter().position(|entry| entry.kind == kind);
        place.ok_or_else(|| ScheduleError::unknown(kind.as_str()))
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what is due, and of the runs that were missed one. Returns the time until the next look.
    async fn step(&self, now: Now) -> Duration {
        let mut missed = 0;
        for (place, entry) in self.entries.iter().enumerate() {
            let due = {
                let mut plans = self.plans();
                let Plans { timezone, list } = &mut *plans;
                list[place].take_due(now.wall_ms, timezone.zone(), missed == 0)
            };
            if let Some(due) = due {
                missed += u64::from(due.is_missed);
                self.start(entry, due, now).await;
            }
        }
        self.pause(now.wall_ms)
    }

    fn pause(&self, now_ms: u64) -> Duration {
        let plans = self.plans();
        let next = plans.list.iter().filter_map(|plan| plan.next_ms(now_ms, plans.timezone.zone()));
        // What is due already, and has to wait for another one, waits for the next look.
        let next = next.filter(|next_ms| *next_ms > now_ms).min();
        next.map_or(LOOK_EVERY, |next_ms| {
            Duration::from_millis(next_ms - now_ms).clamp(SHORTEST_PAUSE, LOOK_EVERY)
        })
    }

    async fn start(&self, entry: &Entry, due: Due, now: Now) {
        let (job, due_ms) = (entry.kind, due.at_ms);
        let run = ScheduleRun { due_ms, began_ms: now.wall_ms, began: now.running_second() };
        // Written first: a run that a crash prevents is better than one that is made twice.
        if let Err(error) = rows::ran(&self.meta, job, run).await {
            tracing::warn!(%job, %error, "a scheduled run cannot be noted: a restart may make it again");
        }
        match (entry.start)().await {
            Ok(begun) if due.is_missed => {
                tracing::info!(%job, id = %begun.job.id, due_ms, "a scheduled job starts late");
            }
            Ok(begun) => tracing::info!(%job, id = %begun.job.id, "a scheduled job starts"),
            Err(JobError::Runs { id, .. }) => {
                tracing::info!(%job, running = %id, "a scheduled run is skipped: the one before still works");
            }
            Err(error) => tracing::warn!(%job, %error, "a scheduled job could not be started"),
        }
    }
}
