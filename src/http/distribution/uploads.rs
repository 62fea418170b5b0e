//! `/v2/<name>/blobs/uploads/`

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE, TRANSFER_ENCODING,
};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::permit::Permit;
use super::{ApiError, created};
use crate::access::{Pull, Push, Refusal};
use crate::app::App;
use crate::http::fault::{Code, Fault};
use crate::http::query::Query;
use crate::http::route::Route;
use crate::http::{body, challenge, range};
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::{RepoName, UploadId};
use crate::model::units::exact_size;
use crate::registry::{Announced, Body, RegistryError, Standing};

const MALFORMED_RANGE: &str = "the Content-Range is malformed: write the first and the last byte of the chunk, as in \"Content-Range: 0-1023\"; the answer's Range says where the upload stands";

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
        let length = length(&request);
        if length != Some(0) || digest == Digest::of(digest.algorithm(), b"") {
            let store = |body| app.registry.store_blob(permit.grant(), digest, length, body);
            // Boxed, so that a POST that only opens a session does not allocate for it.
            Box::pin(body::feed(&request, payload, &app, &permit.holder(), store)).await?;
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
    let told = |error| with_standing(error, &permit, id);
    let announced = announced(&request, &permit, &app, id).await?;
    let writer = app.registry.write_upload(permit.grant(), id, announced).await.map_err(told)?;
    let append = |body| writer.append(body);
    let standing = body::feed(&request, payload, &app, &permit.holder(), append).await.map_err(told)?;
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
    let told = |error| with_standing(error, &permit, id);
    let announced = announced(&request, &permit, &app, id).await?;
    let writer = app.registry.write_upload(permit.grant(), id, announced).await.map_err(told)?;
    let digests = digests(&query)?;
    let digest = digests[0];
    let finish = |body: Body| writer.finish(digests, body);
    body::feed(&request, payload, &app, &permit.holder(), finish).await.map_err(told)?;
    Ok(blob_created(&permit, &digest))
}

/// The digests in a closing PUT: at least one, and at most one of each algorithm, because each costs a hash
/// of the whole upload.
fn digests(query: &Query) -> Result<Vec<Digest>, Fault> {
    let mut digests: Vec<Digest> = Vec::new();
    for text in query.all("digest") {
        let digest: Digest = text.parse()?;
        match digests.iter().find(|known| known.algorithm() == digest.algorithm()) {
            Some(known) if *known != digest => {
                let message = format!(
                    "two different {} digests for one blob: name one; the upload is still open",
                    digest.algorithm()
                );
                return Err(Fault::new(Code::DigestInvalid, message));
            }
            Some(_) => {}
            None => digests.push(digest),
        }
    }
    if digests.is_empty() {
        let message =
            "the closing PUT needs the blob's digest: add ?digest=sha256:<hex>; the upload is still open";
        return Err(Fault::new(Code::DigestInvalid, message));
    }
    Ok(digests)
}

/// `DELETE /v2/<name>/blobs/uploads/<id>` (end-14): a caller who may push may cancel the upload.
pub(super) async fn cancel(
    app: Data<App>,
    permit: Permit<Push>,
    route: Route,
) -> Result<HttpResponse, ApiError> {
    app.registry.cancel_upload(permit.grant(), upload_id(&route)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Mounts from the named repository, if the caller may pull there. If a registry token does not cover the
/// source and another one could, the refusal is a challenge.
async fn mount(
    app: &Data<App>,
    permit: &Permit<Push>,
    request: &HttpRequest,
    digest: &Digest,
    from: &str,
) -> Result<bool, Fault> {
    let caller = permit.grant().caller();
    let Ok(source) = from.parse::<RepoName>() else { return Ok(false) };
    match app.access.repository::<Pull>(caller, &source) {
        Ok(from) => Ok(app.registry.mount(permit.grant(), digest, &from).await?),
        Err(refusal @ Refusal::Scope(_)) => {
            match app.access.repository::<Pull>(&caller.by_right(), &source) {
                Ok(from) if app.registry.blob_size(&from, digest).await.is_ok() => {
                    Err(challenge::refusal(request, refusal))
                }
                _ => Ok(false),
            }
        }
        Err(_) => Ok(false),
    }
}

/// Mounts from any repository that has the blob and from which the caller may pull. A token cannot cover a
/// source that its bearer cannot name, so the rights of the identity count here.
async fn mount_from_any(app: &Data<App>, permit: &Permit<Push>, digest: &Digest) -> Result<bool, Fault> {
    let caller = permit.grant().caller().by_right();
    for source in app.registry.mount_sources(permit.grant(), digest).await? {
        if let Ok(from) = app.access.repository::<Pull>(&caller, &source)
            && app.registry.mount(permit.grant(), digest, &from).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn upload_id(route: &Route) -> Result<UploadId, RegistryError> {
    route.tail.parse().map_err(|_| RegistryError::UploadUnknown)
}

/// The announced length of the body; `None` with chunked encoding.
fn length(request: &HttpRequest) -> Option<u64> {
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    if chunked { None } else { Some(body::content_length(request).unwrap_or(0)) }
}

/// The position and length of the body by its headers. A malformed `Content-Range` gets the same answer as a
/// wrong one, with the upload's state.
async fn announced(
    request: &HttpRequest,
    permit: &Permit<Push>,
    app: &App,
    id: UploadId,
) -> Result<Announced, Fault> {
    let length = length(request);
    let Some(value) = request.headers().get(CONTENT_RANGE) else {
        return Ok(Announced { range: None, length });
    };
    let range = value.to_str().ok().and_then(range::content_range);
    let error = match (range, length) {
        (Some(range), Some(length)) if length != range.len() => {
            let message = format!(
                "Content-Range announces {} and Content-Length {length}; send both for the same chunk",
                exact_size(range.len())
            );
            Fault::new(Code::SizeInvalid, message)
        }
        (Some(_), _) => return Ok(Announced { range, length }),
        (None, _) => Fault::new(Code::RangeInvalid, MALFORMED_RANGE),
    };
    let standing = app.registry.upload_standing(permit.grant(), id).await?;
    Err(tell_standing(error, permit, standing))
}

fn blob_created(permit: &Permit<Push>, digest: &Digest) -> HttpResponse {
    let digest = digest.to_string();
    created(&format!("/v2/{}/blobs/{digest}", permit.name()), &digest)
}

fn location(permit: &Permit<Push>, id: UploadId) -> String {
    format!("/v2/{}/blobs/uploads/{id}", permit.name())
}

/// The `Range` header of an upload: its last byte is inclusive. An empty upload says `0-0`, because docker
/// needs two numbers.
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

/// Adds the upload's state to an error: regctl continues from there.
fn with_standing(error: RegistryError, permit: &Permit<Push>, id: UploadId) -> Fault {
    let offset = match &error {
        RegistryError::RangeInvalid { offset }
        | RegistryError::UploadInUse { offset }
        | RegistryError::SizeInvalid { offset }
        | RegistryError::Cut { offset } => *offset,
        _ => return Fault::from(error),
    };
    tell_standing(Fault::from(error), permit, Standing { id, offset })
}

fn tell_standing(fault: Fault, permit: &Permit<Push>, standing: Standing) -> Fault {
    let Standing { id, offset } = standing;
    fault
        .header(LOCATION, &location(permit, id))
        .header(RANGE, &received(offset))
        .header(UPLOAD_ID, &id.to_string())
}
