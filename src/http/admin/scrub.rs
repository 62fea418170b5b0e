//! `/api/v1/scrub`: everything stored is read again, and what is damaged.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};

use super::endpoint::{self, Endpoint};
use super::jobs::started;
use super::operation::operation;
use super::page::{PageQuery, wrong_cursor};
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{Grant, ReadServer, RunJobs};
use crate::app::App;
use crate::http::fault::{Code, Fault};
use crate::lifecycle::{JobState, JobView, ScrubParams};
use crate::model::digest::Digest;
use crate::model::names::RepoName;
use crate::registry::{QuarantineKind, Quarantined, ScrubScope};
use crate::wire::{Damaged, DamagedKind, Dropped, Job, JobKind, NewScrub, OpenEnum, ScrubStatus, Scrubbed};

/// Jobs among which the last one is looked for that has ended.
const LATEST: usize = 2;

/// The paths of the scrub.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint::at("/scrub").get(status, || {
            let summary =
                "Show how far the reading of everything is, and what the last run has found. For admins.";
            operation("showScrub", summary).answers::<ScrubStatus>(200, "The state of the scrub.")
        }),
        endpoint::at("/scrub/runs").post(run, || {
            operation("startScrub", "Read what is stored again while the server works. For admins.")
                .takes::<NewScrub>()
                .answers::<Job>(202, "The job that does it, also in Location.")
        }),
        endpoint::at("/scrub/quarantine").get(quarantine, || {
            let parts = "Damaged content, blobs first. A page may have fewer than `limit` and still be followed by another one.";
            operation("listQuarantine", "List what is hidden because it is damaged. For admins.")
                .in_parts()
                .lists::<Damaged>("Quarantine", parts)
        }),
        endpoint::at("/scrub/quarantine/{digest}").delete(drop_damaged, || {
            let summary =
                "Remove the damaged bytes of what is hidden. A push of the image stores it again. For admins.";
            operation("dropQuarantined", summary)
                .path("digest", "The digest.", form::digest())
                .answers::<Dropped>(200, "What was removed.")
        }),
    ]
}

/// `GET /api/v1/scrub`
pub(super) async fn status(app: Data<App>, permit: Permit<ReadServer>) -> Result<HttpResponse, Problem> {
    let grant = permit.grant();
    // A schedule that cannot be read is reported where schedules are listed.
    let schedules = app.scheduler.list(grant).await.unwrap_or_default();
    let next = schedules.iter().find(|schedule| schedule.kind == JobKind::Scrub);
    let newest = app.jobs.list(grant, Some(JobKind::Scrub), None, LATEST).await?;
    let is_running = |job: &&JobView| job.job.state == JobState::Running;
    let running = with_result(&app, grant, newest.iter().find(is_running)).await?;
    let last = with_result(&app, grant, newest.iter().find(|job| !is_running(job))).await?;
    // The newest result says how far the cycle is, whatever became of its job.
    let result = app.jobs.last_result(grant, JobKind::Scrub);
    let result = result.and_then(|result| serde_json::from_str(&result).ok());
    let Scrubbed { cycle, cycle_ended_at, .. } = result.unwrap_or_default();
    let extent = app.registry.extent()?;
    let status = ScrubStatus {
        manifests: extent.manifests,
        blobs: extent.blobs,
        bytes: extent.bytes,
        cycle,
        cycle_ended_at,
        next_at: next.and_then(|scrub| scrub.next_ms).map(time),
        running,
        last,
    };
    Ok(json(StatusCode::OK, &status))
}

async fn with_result(
    app: &App,
    grant: &Grant<ReadServer>,
    job: Option<&JobView>,
) -> Result<Option<Job>, Problem> {
    let Some(job) = job else { return Ok(None) };
    let shown = app.jobs.show(grant, job.job.id, Duration::ZERO).await?;
    Ok(shown.map(Job::from))
}

/// `POST /api/v1/scrub/runs`
pub(super) async fn run(
    app: Data<App>,
    permit: Permit<RunJobs>,
    sent: Sent<NewScrub>,
) -> Result<HttpResponse, Problem> {
    let NewScrub { full, repository, digest } = sent.read(&permit).await?;
    let (repository, digest) = (repository.0, digest.0);
    if usize::from(full) + usize::from(repository.is_some()) + usize::from(digest.is_some()) > 1 {
        let message = "send one of full, repository and digest";
        return Err(Problem::new(Code::BodyInvalid, message));
    }
    let scope = match (&repository, &digest) {
        (Some(name), _) => ScrubScope::Repository(name.parse::<RepoName>()?),
        (None, Some(digest)) => ScrubScope::Digest(digest.parse::<Digest>()?),
        (None, None) => ScrubScope::Everything(None),
    };
    app.registry.check_scope(permit.grant(), &scope)?;
    Ok(started(app.scrub(permit.grant(), ScrubParams { full, repository, digest }).await?))
}

/// `GET /api/v1/scrub/quarantine`
pub(super) async fn quarantine(
    app: Data<App>,
    permit: Permit<ReadServer>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let after = page.last().map(|key| place(&key).ok_or_else(wrong_cursor)).transpose()?;
    let found = app.registry.quarantine(permit.grant(), after, page.limit()).await?;
    let next = found.next.map(|(kind, digest)| {
        let digest = digest.map(|digest| digest.to_string());
        format!("{} {}", kind.as_str(), digest.unwrap_or_default())
    });
    Ok(page.part::<_, Damaged>(found.items, next.as_deref()))
}

/// Where a page begins, of the key of a cursor.
fn place(key: &str) -> Option<(QuarantineKind, Option<Digest>)> {
    let (kind, digest) = key.split_once(' ')?;
    let digest = if digest.is_empty() { None } else { Some(digest.parse().ok()?) };
    Some((QuarantineKind::named(kind)?, digest))
}

impl From<Quarantined> for Damaged {
    fn from(Quarantined { kind, digest, size, kept, images }: Quarantined) -> Self {
        let kind = match kind {
            QuarantineKind::Blob => DamagedKind::Blob,
            QuarantineKind::Manifest => DamagedKind::Manifest,
        };
        let (kind, digest) = (OpenEnum::Known(kind), digest.to_string());
        Self { kind, digest, size_bytes: size, kept_bytes: kept, images }
    }
}

/// `DELETE /api/v1/scrub/quarantine/{digest}`
pub(super) async fn drop_damaged(
    app: Data<App>,
    permit: Permit<RunJobs>,
    digest: Path<String>,
) -> Result<HttpResponse, Problem> {
    let digest: Digest = digest.parse().map_err(Fault::from)?;
    let bytes = app.registry.drop_damaged(permit.grant(), &digest).await?;
    Ok(json(StatusCode::OK, &Dropped { digest: digest.to_string(), bytes }))
}
