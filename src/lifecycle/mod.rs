//! Background work of a server: workers, which repeat small steps, and jobs, which take longer than a request
//! may.

pub mod check;
mod dumps;
pub mod job;
mod jobs;
mod scheduler;
mod worker;
mod workers;

use std::sync::Arc;

use tokio::runtime::Handle;

pub use dumps::Dumps;
pub use jobs::{
    CheckJob, CheckParams, CompactJob, CompactParams, DumpJob, DumpParams, GcJob, GcParams, JobError,
    JobEvent, JobLine, JobProgress, JobState, JobView, Jobs, ScrubJob, ScrubParams, Watch,
};
pub use scheduler::{ScheduleError, ScheduleView, Scheduler};
pub use worker::Worker;
pub use workers::leftovers::end_without_owner;
pub use workers::limits::report as report_limits;

use crate::access::Access;
use crate::auth::Auth;
use crate::limits::Ledger;
use crate::registry::Registry;
use crate::store::meta::Meta;

/// The parts of a server that workers and jobs use.
pub struct Parts {
    /// The runtime that they run on.
    pub runtime: Handle,
    /// The metadata.
    pub meta: Arc<Meta>,
    /// Gives each worker its grant.
    pub access: Arc<Access>,
    /// Sign-ins.
    pub auth: Arc<Auth>,
    /// Blobs, uploads, manifests and tags.
    pub registry: Arc<Registry>,
    /// What each principal holds.
    pub ledger: Arc<Ledger>,
    /// When dumps are made.
    pub dumps: Arc<Dumps>,
    /// Runs what takes long.
    pub jobs: Arc<Jobs>,
}

/// Starts the workers. They end with the runtime.
pub fn start(parts: &Parts) {
    workers::start_all(parts);
}
