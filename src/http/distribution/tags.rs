//! `/v2/<name>/tags/list`

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::next_link;
use crate::app::App;
use crate::auth::Pull;
use crate::http::error::ApiError;
use crate::http::permit::Permit;
use crate::http::query::{Query, escape};

/// `GET /v2/<name>/tags/list` (end-8)
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Pull>,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let limit = query.page_size()?;
    let page = app.registry.tags(permit.grant(), query.last(), limit).await?;
    let mut response = HttpResponse::Ok();
    if let (true, Some(last)) = (page.more, page.names.last()) {
        let path = format!("/v2/{}/tags/list", permit.name());
        response.insert_header(next_link(&path, &format!("last={}&n={limit}", escape(last))));
    }
    Ok(response.json(json!({ "name": permit.name(), "tags": page.names })))
}
