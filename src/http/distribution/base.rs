//! `/v2/`: the version check, by which clients find out whether this is a registry and whether they must sign
//! in.

use actix_web::HttpResponse;

use super::permit::AnyCaller;

/// `GET /v2/` (end-1)
pub(super) async fn get(_caller: AnyCaller) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body("{}")
}
