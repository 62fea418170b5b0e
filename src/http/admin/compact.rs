//! `/api/v1/compact`: the size of the database file, and what makes it smaller.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::endpoint::{self, Endpoint};
use super::jobs::started;
use super::operation::operation;
use super::permit::Permit;
use super::problem::Problem;
use super::{json, time};
use crate::access::{ReadServer, RunJobs};
use crate::app::App;
use crate::lifecycle::JobState;
use crate::wire::{CompactStatus, Job, JobKind};

/// The paths of compaction.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint::at("/compact").get(status, || {
            let summary = "Show how large the database file is, and how much of it is free. For admins.";
            operation("showCompact", summary).answers::<CompactStatus>(200, "The file, and the runs.")
        }),
        endpoint::at("/compact/runs").post(run, || {
            let summary = "Give the free space of the database file back while the server works. For admins.";
            operation("startCompact", summary).answers::<Job>(202, "The job that does it, also in Location.")
        }),
    ]
}

/// `GET /api/v1/compact`
pub(super) async fn status(app: Data<App>, permit: Permit<ReadServer>) -> Result<HttpResponse, Problem> {
    let size = app.database_size(permit.grant()).await?;
    let refused = app.may_compact(permit.grant()).await.err();
    // A schedule that cannot be read is reported where schedules are listed.
    let schedules = app.scheduler.list(permit.grant()).await.unwrap_or_default();
    let next =
        schedules.iter().find(|schedule| schedule.kind == JobKind::Compact).and_then(|next| next.next_ms);
    let newest = app.jobs.list(permit.grant(), Some(JobKind::Compact), None, 1).await?;
    let running = newest.into_iter().find(|job| job.job.state == JobState::Running);
    let status = CompactStatus {
        file_bytes: size.file_bytes,
        needed_bytes: size.needed_bytes,
        free_bytes: size.free_bytes(),
        due: size.is_mostly_free(),
        refused: refused.map(|error| error.to_string()),
        next_at: next.map(time),
        running: running.map(Job::from),
        last: app.jobs.last_done(permit.grant(), JobKind::Compact).map(Job::from),
    };
    Ok(json(StatusCode::OK, &status))
}

/// `POST /api/v1/compact/runs`
pub(super) async fn run(app: Data<App>, permit: Permit<RunJobs>) -> Result<HttpResponse, Problem> {
    Ok(started(app.compact(permit.grant()).await?))
}
