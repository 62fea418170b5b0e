//! `/api/v1/system`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::{Value, json};

use super::caller::Visitor;
use super::problem::Problem;
use super::time;
use crate::app::App;
use crate::app::Condition;
use crate::limits::Standing;

/// `GET /api/v1/system`
pub(super) async fn get(app: Data<App>, visitor: Visitor) -> Result<HttpResponse, Problem> {
    let totals = app.registry.totals(&visitor.catalog(&app)?)?;
    let mut body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "repositories": totals.repositories,
        "tags": totals.usage.tags,
        "manifests": totals.usage.manifests,
        "blobs": totals.usage.blobs,
        "size_bytes": totals.usage.bytes + totals.usage.manifest_bytes,
        "changes_refused": totals.refusal,
        "disk_bytes": totals.disk.bytes,
        "unused_bytes": totals.disk.unused_bytes,
        "unused_blobs": totals.disk.unused_blobs,
        "free_bytes": totals.free_bytes,
        "total_bytes": totals.total_bytes,
        "pushes_refused": app.registry.pushes_refused(),
    });
    // Names and addresses of others are for those who may see users.
    if app.auth.inspect(visitor.caller()).is_ok() {
        body["limits"] = app.ledger.standings().iter().map(standing).collect();
    }
    if let Ok(grant) = app.auth.inspect(visitor.caller()) {
        body["server"] = condition(&app.condition(&grant));
    }
    Ok(super::json(StatusCode::OK, &body))
}

fn condition(condition: &Condition) -> Value {
    json!({
        "urls": condition.urls,
        "certificate_expires_at": condition.certificate.end_ms.map(time),
        "certificate_warnings": condition.certificate.warnings,
        "uptime_s": condition.uptime_s,
        "data_dir": condition.data_dir.display().to_string(),
        "uploads": condition.uploads,
        "last_dump_at": condition.last_dump_ms.map(time),
        "last_check": condition.last_check.map(|check| json!({
            "ended_at": time(check.ended_ms), "deep": check.deep, "problems": check.problems,
        })),
    })
}

fn standing(standing: &Standing) -> Value {
    json!({
        "principal": standing.principal,
        "address": standing.address.map(|address| address.to_string()),
        "setting": standing.setting,
        "limit": standing.limit,
        "held": standing.held,
        "waiting": standing.waiting,
        "times": standing.times,
    })
}
