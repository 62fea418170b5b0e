//! The workers of a server, one file each.

mod dumps;
mod expire_uploads;
pub(super) mod leftovers;
pub(super) mod limits;
mod memory;
mod pulls;
mod sign_ins;
mod space;
mod trim;

use super::Parts;
use super::worker::start;

/// Starts all of them.
pub(super) fn start_all(parts: &Parts) {
    let system = |name| parts.access.system(name);
    let registry = || parts.registry.clone();
    let runtime = &parts.runtime;
    start(runtime, pulls::StorePulls::new(registry(), system("pulls")));
    start(runtime, expire_uploads::ExpireUploads::new(registry(), system("uploads")));
    runtime.spawn(leftovers::sweep(registry(), system("start")));
    start(runtime, space::SampleSpace::new(registry(), system("space")));
    let (meta, dumps, jobs) = (parts.meta.clone(), parts.dumps.clone(), parts.jobs.clone());
    start(runtime, dumps::MakeDumps::new(meta, dumps, jobs, system("dumps")));
    start(runtime, limits::ReportLimits::new(parts.ledger.clone()));
    start(runtime, memory::GiveMemoryBack);
    start(runtime, trim::TrimHistory::new(registry(), system("trimming")));
    start(runtime, sign_ins::ExpireSignIns::new(parts.auth.clone(), system("sign-ins")));
}
