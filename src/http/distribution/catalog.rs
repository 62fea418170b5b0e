//! `/v2/_catalog`

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::next_link;
use crate::app::App;
use crate::auth::Catalog;
use crate::http::error::ApiError;
use crate::http::permit::Permit;
use crate::http::query::{Query, escape};

/// `GET /v2/_catalog`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Catalog>,
    query: Query,
) -> Result<HttpResponse, ApiError> {
    let limit = query.page_size()?;
    let page = app.registry.catalog(permit.into_grant(), query.last(), limit).await?;
    let mut response = HttpResponse::Ok();
    if let (true, Some(last)) = (page.more, page.names.last()) {
        response.insert_header(next_link("/v2/_catalog", &format!("last={}&n={limit}", escape(last))));
    }
    Ok(response.json(json!({ "repositories": page.names })))
}
