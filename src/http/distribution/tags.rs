//! `/v2/<name>/tags/list`

use actix_web::http::header::ContentType;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::permit::Permit;
use super::{ApiError, next_link};
use crate::access::Pull;
use crate::app::App;
use crate::http::list_body::{self, Frame};
use crate::http::query::{Query, escape};

/// `GET /v2/<name>/tags/list` (end-8)
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Pull>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let limit = query.page_size()?;
    let page = app.registry.tags(permit.grant(), query.last(), limit).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header(ContentType::json());
    if let Some(last) = &page.next {
        let path = format!("/v2/{}/tags/list", permit.name());
        response.insert_header(next_link(&path, &format!("last={}&n={limit}", escape(last))));
    }
    // Names of repositories have no characters that JSON must escape.
    let frame = Frame { opening: format!("{{\"name\":\"{}\",\"tags\":[", permit.name()), end: "]}" };
    let grant = permit.into_grant();
    let more = move |left| app.registry.more_tags(&grant, left);
    Ok(list_body::answer(&request, response, frame, page, more))
}
