//! `/v2/<name>/blobs/<digest>`

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::permit::Permit;
use super::{ApiError, CONTENT_DIGEST};
use crate::access::{Delete, Pull};
use crate::app::App;
use crate::http::blob_body::{BlobBody, HeadBody};
use crate::http::conditional::{self, Outcome};
use crate::http::fault::{Code, Fault};
use crate::http::range::{self, Asked, Span};
use crate::http::route::{Route, header};
use crate::model::digest::Digest;
use crate::model::media_type::OCTET_STREAM;
use crate::model::units::exact_size;
use crate::registry::BlobContent;

/// `HEAD /v2/<name>/blobs/<digest>` (end-2)
pub(super) async fn head(
    app: Data<App>,
    permit: Permit<Pull>,
    route: Route,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let digest: Digest = route.tail.parse()?;
    let size = app.registry.blob_size(permit.grant(), &digest).await?;
    if conditional::evaluate(&request, &digest)? == Outcome::NotModified {
        return Ok(not_modified(&digest));
    }
    Ok(describe(StatusCode::OK, &digest).body(HeadBody(size)))
}

/// `GET /v2/<name>/blobs/<digest>` (end-2)
pub(super) async fn get(
    app: Data<App>,
    permit: Permit<Pull>,
    route: Route,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let digest: Digest = route.tail.parse()?;
    let blob = app.registry.open_blob(permit.grant(), &digest).await?;
    if conditional::evaluate(&request, &digest)? == Outcome::NotModified {
        return Ok(not_modified(&digest));
    }
    let asked = match header(&request, &RANGE) {
        Some(ranges) if conditional::range_counts(&request, &digest) => range::parse(ranges, blob.size()),
        _ => Asked::Whole,
    };
    match asked {
        Asked::Whole => whole(blob, &digest).await,
        Asked::Parts(parts) => match parts.as_slice() {
            [part] => Ok(one_part(blob, &digest, *part)),
            _ => Ok(several_parts(blob, &digest, parts)),
        },
        Asked::Unsatisfiable => {
            let message = format!("the blob has {}, and none in this range", exact_size(blob.size()));
            let size = format!("bytes */{}", blob.size());
            Err(Fault::new(Code::RangeInvalid, message).header(CONTENT_RANGE, &size).into())
        }
    }
}

/// `DELETE /v2/<name>/blobs/<digest>` (end-10)
pub(super) async fn delete(
    app: Data<App>,
    permit: Permit<Delete>,
    route: Route,
) -> Result<HttpResponse, ApiError> {
    let digest: Digest = route.tail.parse()?;
    app.registry.delete_blob(permit.grant(), &digest).await?;
    Ok(HttpResponse::Accepted().finish())
}

async fn whole(blob: BlobContent, digest: &Digest) -> Result<HttpResponse, ApiError> {
    let mut response = describe(StatusCode::OK, digest);
    if let Some(bytes) = blob.small().await? {
        return Ok(response.body(bytes));
    }
    let all = Span { start: 0, len: blob.size() };
    Ok(response.body(BlobBody::part(blob, all)))
}

fn one_part(blob: BlobContent, digest: &Digest, part: Span) -> HttpResponse {
    describe(StatusCode::PARTIAL_CONTENT, digest)
        .insert_header((CONTENT_RANGE, part.content_range(blob.size())))
        .body(BlobBody::part(blob, part))
}

/// The body of a multipart response: one part for each range, in the order of the request (RFC 9110 section
/// 14.6).
fn several_parts(blob: BlobContent, digest: &Digest, parts: Vec<Span>) -> HttpResponse {
    // A blob cannot contain its own digest, so the digest is a safe boundary.
    let boundary = digest.hex();
    describe(StatusCode::PARTIAL_CONTENT, digest)
        .insert_header((CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}")))
        .body(BlobBody::parts(blob, parts, boundary))
}

fn not_modified(digest: &Digest) -> HttpResponse {
    HttpResponse::NotModified()
        .insert_header((ETAG, format!("\"{digest}\"")))
        .insert_header((CONTENT_DIGEST, digest.to_string()))
        .finish()
}

/// The headers of every response with content. Browsers must neither guess a type nor run anything.
fn describe(status: StatusCode, digest: &Digest) -> HttpResponseBuilder {
    let text = digest.to_string();
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, OCTET_STREAM))
        .insert_header((ETAG, format!("\"{text}\"")))
        .insert_header((CONTENT_DIGEST, text))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CACHE_CONTROL, "private, max-age=31536000, immutable"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox"));
    response
}
