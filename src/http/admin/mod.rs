//! `/api/v1`: the admin API, on the admin socket and on the public listeners. Each resource has a file of its
//! name.

mod compact;
mod deletions;
mod document;
mod endpoint;
mod events;
mod form;
mod gc;
mod jobs;
mod manifests;
mod openapi;
mod operation;
mod page;
mod peer;
mod permit;
mod pins;
mod problem;
mod repositories;
mod schedules;
mod scrub;
mod sent;
mod sizes;
mod system;
mod tags;
mod tokens;
mod trash;
mod users;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_MATCH};
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, Scope, web};
use serde::Serialize;

pub use document::document;
pub use openapi::OPENAPI;
pub use peer::LocalPeer;
pub(super) use peer::local_caller;
pub use sent::MAX_BODY;

use super::fault::{Code, Fault};
use crate::model::time::rfc3339 as time;
use endpoint::Endpoint;
use problem::Problem;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Every path below `/api/v1`, in the order in which they are matched. The name of a repository may contain
/// slashes, so paths below a repository come before the repository itself.
fn endpoints() -> Vec<Endpoint> {
    let resources = [
        users::endpoints(),
        tokens::endpoints(),
        jobs::endpoints(),
        gc::endpoints(),
        pins::endpoints(),
        scrub::endpoints(),
        compact::endpoints(),
        schedules::endpoints(),
        trash::endpoints(),
        system::endpoints(),
        deletions::endpoints(),
        sizes::endpoints(),
        tags::endpoints(),
        manifests::endpoints(),
        repositories::endpoints(),
        openapi::endpoints(),
    ];
    resources.into_iter().flatten().collect()
}

/// Every route below `/api/v1`.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let resources = endpoints().into_iter().map(Endpoint::into_resource);
    let scope = resources.fold(web::scope("/api/v1"), Scope::service);
    config.service(scope.default_service(web::to(elsewhere)).wrap(from_fn(openapi::refuse_unknown)));
}

/// All routes of the admin socket.
pub fn socket_routes(config: &mut web::ServiceConfig) {
    routes(config);
    config.default_service(web::to(elsewhere));
}

/// The response to a request that no handler sees.
pub(super) fn refusal(fault: Fault) -> HttpResponse {
    Problem::from(fault).error_response()
}

async fn elsewhere(request: HttpRequest) -> Problem {
    let path: String = request.path().chars().take(200).collect();
    Problem::new(Code::NotFound, format!("nothing is at {path}: the admin API is below /api/v1"))
}

/// A JSON response that no cache may keep.
fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((CACHE_CONTROL, NO_STORE)).json(body)
}

/// A JSON response with the version of what it shows.
fn json_at(status: StatusCode, version: &str, body: &impl Serialize) -> HttpResponse {
    let mut response = json(status, body);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The version that a change expects: `If-Match` with one `ETag`. `*` is any.
fn expected(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all(IF_MATCH);
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|tag| !tag.contains('"'));
    match (text, tag, values.next()) {
        ("*", _, None) => Ok(None),
        (_, Some(tag), None) => Ok(Some(tag.to_owned())),
        _ => Err(Problem::new(Code::IfMatchInvalid, "If-Match is one ETag in quotes, or *")),
    }
}
