//! The jobs that run by themselves: a line for each in [`all`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::access::Access;
use crate::config::Config;
use crate::lifecycle::Parts;
use crate::lifecycle::job::Job;
use crate::lifecycle::jobs::{
    CheckJob, CheckParams, CompactJob, CompactParams, GcJob, GcParams, JobError, JobView, Jobs, ScrubJob,
    ScrubParams,
};
use crate::model::when::When;
use crate::wire::JobKind;

/// A job that begins.
pub(super) type Starting = Pin<Box<dyn Future<Output = Result<JobView, JobError>> + Send>>;

/// A job that runs by itself.
pub(super) struct Entry {
    pub(super) kind: JobKind,
    /// The setting with its schedule, and its value.
    pub(super) setting: &'static str,
    pub(super) configured: fn(&Config) -> &When,
    pub(super) start: Box<dyn Fn() -> Starting + Send + Sync>,
}

/// Every job that runs by itself. Dumps are not among them: they are due when something has changed.
pub(super) fn all(parts: &Parts) -> Vec<Entry> {
    let (registry, access) = (Arc::clone(&parts.registry), Arc::clone(&parts.access));
    let check = move || {
        let grant = access.by_server(&access.system("scheduler"));
        (CheckJob::new(Arc::clone(&registry), &grant), CheckParams::default())
    };
    let (registry, access) = (Arc::clone(&parts.registry), Arc::clone(&parts.access));
    let gc = move || (GcJob::new(Arc::clone(&registry), access.system("gc")), GcParams::default());
    let (registry, access) = (Arc::clone(&parts.registry), Arc::clone(&parts.access));
    let scrub =
        move || (ScrubJob::new(Arc::clone(&registry), access.system("scrub")), ScrubParams::default());
    let (meta, registry) = (Arc::clone(&parts.meta), Arc::clone(&parts.registry));
    let compact = move || {
        let job = CompactJob::new(Arc::clone(&meta), registry.min_free());
        (job, CompactParams { if_mostly_free: true })
    };
    let by = (&parts.jobs, &parts.access);
    vec![
        entry(by, "scheduler.check", |config| &config.scheduler.check, check),
        entry(by, "storage.gc.schedule", |config| &config.storage.gc.schedule, gc),
        entry(by, "storage.scrub.schedule", |config| &config.storage.scrub.schedule, scrub),
        entry(by, "storage.compact", |config| &config.storage.compact, compact),
    ]
}

/// A job that `job` makes, with its parameters.
pub(super) fn entry<J: Job>(
    (jobs, access): (&Arc<Jobs>, &Arc<Access>),
    setting: &'static str,
    configured: fn(&Config) -> &When,
    job: impl Fn() -> (J, J::Params) + Send + Sync + 'static,
) -> Entry {
    let (jobs, access) = (Arc::clone(jobs), Arc::clone(access));
    let start = move || -> Starting {
        let (jobs, grant, (job, params)) = (Arc::clone(&jobs), access.system("scheduler"), job());
        Box::pin(async move { jobs.start_by_system(&grant, job, params).await })
    };
    Entry { kind: J::KIND, setting, configured, start: Box::new(start) }
}
