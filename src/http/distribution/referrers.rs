//! `/v2/<name>/referrers/<digest>`

use std::sync::Arc;

use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::permit::Permit;
use super::{ApiError, next_link};
use crate::access::Pull;
use crate::app::App;
use crate::http::list_body::{self, Frame};
use crate::http::query::{Query, escape};
use crate::http::route::Route;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::media_type::OCI_INDEX;
use crate::registry::ReferrerQuery;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// `GET /v2/<name>/referrers/<digest>` (end-12): the list is empty for an unknown subject.
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<Pull>,
    route: Route,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let subject: AnyDigest = route.tail.parse()?;
    let artifact_types: Vec<String> =
        query.all("artifactType").filter(|wanted| !wanted.is_empty()).map(str::to_owned).collect();
    let limit = match query.get("n") {
        Some(_) => Some(query.page_size()?),
        None => None,
    };
    let last = match query.last() {
        Some(last) => Some(last.parse::<Digest>()?),
        None => None,
    };
    let asked = ReferrerQuery { subject, artifact_types, last, limit };
    let asked = Arc::new(asked);
    let page = app.registry.referrers(permit.grant(), Arc::clone(&asked)).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, OCI_INDEX));
    if !asked.artifact_types.is_empty() {
        response.insert_header((FILTERS_APPLIED, "artifactType"));
    }
    if let Some(next) = &page.next {
        let types = asked.artifact_types.iter();
        let mut pairs: Vec<String> = types.map(|wanted| format!("artifactType={}", escape(wanted))).collect();
        pairs.push(format!("last={next}"));
        pairs.extend(limit.map(|limit| format!("n={limit}")));
        let path = format!("/v2/{}/referrers/{}", permit.name(), escape(&route.tail));
        response.insert_header(next_link(&path, &pairs.join("&")));
    }
    let opening = format!("{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[");
    let frame = Frame { opening, end: "]}" };
    let grant = permit.into_grant();
    let more = move |left| app.registry.more_referrers(&grant, Arc::clone(&asked), left);
    Ok(list_body::answer(&request, response, frame, page, more))
}
