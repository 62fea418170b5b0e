//! `/v2/<name>/blobs/uploads/`

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use actix_web::web::Data;
use actix_web::web::Payload;

use super::created;
use crate::app::App;
use crate::auth::{Pull, Push, Refusal};
use crate::http::body;
use crate::http::challenge;
use crate::http::error::{ApiError, Code};
use crate::http::permit::Permit;
use crate::http::query::Query;
use crate::http::range;
use crate::http::route::Route;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::RepoName;
use crate::model::names::UploadId;
use crate::registry::{Body, ContentRange, RegistryError, Standing};

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST /v2/<name>/blobs/uploads/` (end-4a, end-4b, end-4c, end-11)
pub(super) async fn start(
    app: Data<App>,
    permit: Permit<Push>,
    query: Query,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    if let Some(digest) = query.get("mount")
        && let Ok(digest) = digest.parse::<Digest>()
        && match query.get("from") {
            Some(from) => mount(&app, &permit, &request, &digest, from).await?,
            None => mount_from_any(&app, &permit, &digest).await?,
        }
    {
        return Ok(blob_created(&permit, &digest));
    }
    let algorithm = match query.get("digest-algorithm") {
        Some(name) => name.parse::<Algorithm>()?,
        None => Algorithm::Sha256,
    };
    if let Some(digest) = query.get("digest") {
        let digest: Digest = digest.parse()?;
        let announced = body::content_length(&request);
        let empty = announced == Some(0)
            || (announced.is_none() && !request.headers().contains_key("transfer-encoding"));
        if !empty || digest == Digest::of(digest.algorithm(), b"") {
            let store = |body| app.registry.store_blob(permit.grant(), digest, body);
            body::feed(&request, payload, &app, &permit.holder(), store).await?;
            return Ok(blob_created(&permit, &digest));
        }
    }
    let id = app.registry.start_upload(permit.grant(), algorithm).await?;
    Ok(progress(StatusCode::ACCEPTED, &permit, Standing { id, offset: 0 }).finish())
}

/// `GET /v2/<name>/blobs/uploads/<id>` (end-13)
pub(super) async fn standing(
    app: Data<App>,
    permit: Permit<Push>,
    route: Route,
) -> Result<HttpResponse, ApiError> {
    let standing = app.registry.upload_standing(permit.grant(), upload_id(&route)?).await?;
    Ok(progress(StatusCode::NO_CONTENT, &permit, standing).finish())
}

/// `PATCH /v2/<name>/blobs/uploads/<id>` (end-5)
pub(super) async fn patch(
    app: Data<App>,
    permit: Permit<Push>,
    route: Route,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let id = upload_id(&route)?;
    let range = place(&request, &permit, &app, id).await?;
    let append = |body| app.registry.append_upload(permit.grant(), id, range, body);
    let standing = body::feed(&request, payload, &app, &permit.holder(), append)
        .await
        .map_err(|error| with_standing(error, &permit, id))?;
    Ok(progress(StatusCode::ACCEPTED, &permit, standing).finish())
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=<digest>` (end-6)
pub(super) async fn put(
    app: Data<App>,
    permit: Permit<Push>,
    route: Route,
    query: Query,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let id = upload_id(&route)?;
    let range = place(&request, &permit, &app, id).await?;
    let digests = query.all("digest").map(str::parse).collect::<Result<Vec<Digest>, _>>()?;
    let Some(digest) = digests.first().copied() else {
        let message =
            "the closing PUT needs the blob's digest: add ?digest=sha256:<hex>; the upload is still open";
        return Err(ApiError::new(Code::DigestInvalid, message));
    };
    let finish = |body: Body| app.registry.finish_upload(permit.grant(), id, digests, range, body);
    body::feed(&request, payload, &app, &permit.holder(), finish)
        .await
        .map_err(|error| with_standing(error, &permit, id))?;
    Ok(blob_created(&permit, &digest))
}

/// `DELETE /v2/<name>/blobs/uploads/<id>` (end-14): whoever may push may give up.
pub(super) async fn cancel(
    app: Data<App>,
    permit: Permit<Push>,
    route: Route,
) -> Result<HttpResponse, ApiError> {
    app.registry.cancel_upload(permit.grant(), upload_id(&route)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Mounts from the named repository, if the caller may pull there. A registry token that does not cover it is told so
/// when a fuller one would help (protocol.md 8.4).
async fn mount(
    app: &Data<App>,
    permit: &Permit<Push>,
    request: &HttpRequest,
    digest: &Digest,
    from: &str,
) -> Result<bool, ApiError> {
    let caller = permit.grant().caller();
    let Ok(source) = from.parse::<RepoName>() else { return Ok(false) };
    match app.auth.repository::<Pull>(caller, &source) {
        Ok(from) => Ok(app.registry.mount(permit.grant(), digest, &from).await?),
        Err(refusal @ Refusal::Scope(_)) => match app.auth.repository::<Pull>(&caller.by_right(), &source) {
            Ok(from) if app.registry.blob_size(&from, digest).await.is_ok() => {
                Err(challenge::refusal(request, refusal))
            }
            _ => Ok(false),
        },
        Err(_) => Ok(false),
    }
}

/// Mounts from any repository that has the blob and that the caller may pull. No token can cover a source that its
/// bearer cannot name, so the rights of the identity count here.
async fn mount_from_any(app: &Data<App>, permit: &Permit<Push>, digest: &Digest) -> Result<bool, ApiError> {
    let caller = permit.grant().caller().by_right();
    for source in app.registry.mount_sources(permit.grant(), digest).await? {
        if let Ok(from) = app.auth.repository::<Pull>(&caller, &source)
            && app.registry.mount(permit.grant(), digest, &from).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn upload_id(route: &Route) -> Result<UploadId, ApiError> {
    route.tail.parse().map_err(|_| ApiError::from(RegistryError::UploadUnknown))
}

/// Where a body belongs in its upload, which must be there. `Content-Range: <start>-<end>` says so; a malformed one is
/// answered like a wrong one, with the upload's state. Without it a body of known length belongs where the upload stands
/// as its request comes: it must not follow bytes that another request adds meanwhile.
async fn place(
    request: &HttpRequest,
    permit: &Permit<Push>,
    app: &Data<App>,
    id: UploadId,
) -> Result<Option<ContentRange>, ApiError> {
    let offset = app.registry.upload_standing(permit.grant(), id).await?.offset;
    let length = body::content_length(request);
    let Some(value) = request.headers().get(CONTENT_RANGE) else {
        let follows = |length: u64| ContentRange { start: offset, end: offset.saturating_add(length - 1) };
        return Ok(length.filter(|length| *length > 0).map(follows));
    };
    let Some(range) = value.to_str().ok().and_then(range::content_range) else {
        return Err(with_standing(RegistryError::RangeInvalid { offset }, permit, id));
    };
    match length {
        Some(length) if length != range.len() => {
            let message = format!(
                "Content-Range announces {} bytes and Content-Length {length}; send both for the same chunk",
                range.len()
            );
            Err(ApiError::new(Code::SizeInvalid, message))
        }
        _ => Ok(Some(range)),
    }
}

fn blob_created(permit: &Permit<Push>, digest: &Digest) -> HttpResponse {
    let digest = digest.to_string();
    created(&format!("/v2/{}/blobs/{digest}", permit.name()), &digest)
}

fn location(permit: &Permit<Push>, id: UploadId) -> String {
    format!("/v2/{}/blobs/uploads/{id}", permit.name())
}

/// `Range` tells the last byte received; an empty upload says `0-0`, because docker reads two numbers.
fn received(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn progress(status: StatusCode, permit: &Permit<Push>, standing: Standing) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((LOCATION, location(permit, standing.id)))
        .insert_header((RANGE, received(standing.offset)))
        .insert_header((UPLOAD_ID, standing.id.to_string()));
    if status != StatusCode::NO_CONTENT {
        response.insert_header((CONTENT_LENGTH, "0"));
    }
    response
}

/// Adds to an error where the upload stands: regctl goes on from there.
fn with_standing(error: RegistryError, permit: &Permit<Push>, id: UploadId) -> ApiError {
    let offset = match &error {
        RegistryError::RangeInvalid { offset }
        | RegistryError::SizeInvalid { offset }
        | RegistryError::Cut { offset } => *offset,
        _ => return ApiError::from(error),
    };
    ApiError::from(error)
        .header(LOCATION, &location(permit, id))
        .header(RANGE, &received(offset))
        .header(UPLOAD_ID, &id.to_string())
}
