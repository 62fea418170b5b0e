//! The workers of a server, one file each.

mod collect_when_full;
mod dumps;
mod expire_uploads;
pub(super) mod leftovers;
pub(super) mod limits;
mod memory;
mod pulls;
mod sign_ins;
mod space;
mod trim;

use std::sync::Mutex;

use self::collect_when_full::CollectWhenFull;
use self::dumps::MakeDumps;
use self::expire_uploads::ExpireUploads;
use self::limits::ReportLimits;
use self::memory::GiveMemoryBack;
use self::pulls::StorePulls;
use self::sign_ins::ExpireSignIns;
use self::space::SampleSpace;
use self::trim::TrimHistory;
use super::Parts;
use super::worker::start;

/// Starts all of them.
pub(super) fn start_all(parts: &Parts) {
    let system = |name| parts.access.system(name);
    let registry = || parts.registry.clone();
    let runtime = &parts.runtime;
    start(runtime, StorePulls { registry: registry(), grant: system("pulls") });
    start(runtime, ExpireUploads { registry: registry(), grant: system("uploads") });
    runtime.spawn(leftovers::sweep(registry(), system("start")));
    start(runtime, SampleSpace { registry: registry(), grant: system("space") });
    let (meta, dumps, jobs) = (parts.meta.clone(), parts.dumps.clone(), parts.jobs.clone());
    start(runtime, MakeDumps { meta, dumps, jobs, grant: system("dumps") });
    let (jobs, access) = (parts.jobs.clone(), parts.access.clone());
    let (last, told) = (Mutex::default(), Mutex::default());
    let collect = CollectWhenFull { registry: registry(), jobs, access, grant: system("space"), last, told };
    start(runtime, collect);
    start(runtime, ReportLimits { ledger: parts.ledger.clone() });
    start(runtime, GiveMemoryBack);
    start(runtime, TrimHistory { registry: registry(), grant: system("trimming") });
    start(runtime, ExpireSignIns { auth: parts.auth.clone(), grant: system("sign-ins") });
}
