//! `/v2/`: whether this is a registry, and whether the caller is known to it.

use actix_web::HttpResponse;

use super::permit::Known;

/// `GET /v2/` (end-1)
pub(super) async fn get(_caller: Known) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body("{}")
}
