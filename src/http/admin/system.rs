//! `/api/v1/system`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::{Value, json};

use super::caller::Visitor;
use super::problem::Problem;
use crate::app::App;
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
        "pushes_refused": app.registry.pushes_refused(),
    });
    // Names and addresses of others are for those who may see users.
    if app.auth.inspect(visitor.caller()).is_ok() {
        body["limits"] = app.ledger.standings().iter().map(standing).collect();
    }
    Ok(super::json(StatusCode::OK, &body))
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
