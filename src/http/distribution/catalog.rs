//! `/v2/_catalog`

use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::permit::Permit;
use super::{ApiError, next_link};
use crate::access::Catalog;
use crate::app::App;
use crate::http::list_body::{self, Frame};
use crate::http::query::{Query, escape};

/// `GET /v2/_catalog`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Catalog>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let limit = query.page_size()?;
    let page = app.registry.catalog(permit.grant(), query.last(), limit).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header(ContentType::json());
    if let Some(last) = &page.next {
        response.insert_header(next_link("/v2/_catalog", &format!("last={}&n={limit}", escape(last))));
    }
    let frame = Frame { opening: "{\"repositories\":[".to_owned(), end: "]}" };
    let grant = permit.into_grant();
    let more = move |left| app.registry.more_catalog(&grant, left);
    Ok(list_body::answer(&request, response, frame, page, more))
}
