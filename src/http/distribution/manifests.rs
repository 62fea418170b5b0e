//! `/v2/<name>/manifests/<reference>`

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use super::permit::Permit;
use super::{ApiError, CONTENT_DIGEST, created};
use crate::access::{Delete, Pull, Push};
use crate::app::App;
use crate::config::Scheme;
use crate::http::blob_body::HeadBody;
use crate::http::body;
use crate::http::conditional::{self, Outcome};
use crate::http::fault::{Code, Fault};
use crate::http::manifest_body::ManifestBody;
use crate::http::origin::{Origin, origin};
use crate::http::query::Query;
use crate::http::route::{Route, header};
use crate::model::names::{Reference, Tag};
use crate::registry::{Below, ManifestHead, PutManifest, RegistryError};

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// The most tags that one push sets (distribution-spec, end-7b, requires at least 10).
const MAX_TAGS: usize = 64;

/// `HEAD /v2/<name>/manifests/<reference>` (end-3)
pub(super) async fn head(
    app: Data<App>,
    permit: Permit<Pull>,
    route: Route,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let reference: Reference = route.tail.parse()?;
    let head = app.registry.manifest_head(permit.grant(), &reference).await?;
    if conditional::evaluate(&request, &head.digest)? == Outcome::NotModified {
        return Ok(describe(StatusCode::NOT_MODIFIED, &head, &reference).finish());
    }
    Ok(describe(StatusCode::OK, &head, &reference).body(HeadBody(head.size)))
}

/// `GET /v2/<name>/manifests/<reference>` (end-3)
pub(super) async fn get(
    app: Data<App>,
    permit: Permit<Pull>,
    route: Route,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let reference: Reference = route.tail.parse()?;
    let manifest = app.registry.manifest(permit.grant(), &reference).await?;
    if conditional::evaluate(&request, &manifest.head.digest)? == Outcome::NotModified {
        return Ok(describe(StatusCode::NOT_MODIFIED, &manifest.head, &reference).finish());
    }
    let mut response = describe(StatusCode::OK, &manifest.head, &reference);
    if manifest.body.len() as u64 == manifest.head.size {
        return Ok(response.body(manifest.body));
    }
    let app = app.into_inner();
    Ok(response.body(ManifestBody::new(app, permit.into_grant(), manifest)))
}

/// `PUT /v2/<name>/manifests/<reference>` (end-7a, end-7b)
pub(super) async fn put(
    app: Data<App>,
    permit: Permit<Push>,
    route: Route,
    query: Query,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let reference: Reference = route.tail.parse()?;
    let tags = extra_tags(&reference, &query)?;
    let (body, charges) = body::manifest(&request, payload, &app, &permit.holder()).await?;
    let put = PutManifest {
        reference,
        tags: tags.clone(),
        content_type: header(&request, &CONTENT_TYPE).map(str::to_owned),
        body,
        condition: conditional::condition(&request),
    };
    let stored = app.registry.put_manifest(permit.grant(), put, charges).await;
    let stored = stored.map_err(|error| refusal(error, &origin(&request), permit.name()))?;
    let digest = stored.digest.to_string();
    let mut response = created(&format!("/v2/{}/manifests/{digest}", permit.name()), &digest);
    let headers = response.headers_mut();
    if let Some(subject) = stored.subject.and_then(|subject| subject.to_string().parse().ok()) {
        headers.insert(SUBJECT, subject);
    }
    for tag in tags {
        if let Ok(tag) = tag.as_str().parse() {
            headers.append(TAG, tag);
        }
    }
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<reference>` (end-9)
pub(super) async fn delete(
    app: Data<App>,
    permit: Permit<Delete>,
    route: Route,
) -> Result<HttpResponse, ApiError> {
    let reference: Reference = route.tail.parse()?;
    app.registry.delete_manifest(permit.grant(), reference, Below::Stays).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// The refusal of a manifest that was not stored, with a command that copies missing content from another
/// repository.
fn refusal(error: RegistryError, here: &Origin, repository: &str) -> Fault {
    let RegistryError::ReferencesMissing(missing) = error else { return error.into() };
    let insecure = match here.scheme {
        Scheme::Http => " --src-tls-verify=false --dest-tls-verify=false",
        Scheme::Https => "",
    };
    Fault::missing(missing, |from, digest| {
        let place = |name: &str| format!("docker://{}/{name}@{digest}", here.host);
        Some(format!("skopeo copy --all{insecure} {} {}", place(from), place(repository)))
    })
}

fn extra_tags(reference: &Reference, query: &Query) -> Result<Vec<Tag>, Fault> {
    let mut tags = query.all("tag").map(str::parse).collect::<Result<Vec<Tag>, _>>()?;
    tags.sort();
    tags.dedup();
    if tags.len() > MAX_TAGS {
        let message =
            format!("{} tags at once; set at most {MAX_TAGS}, and the rest with another push", tags.len());
        return Err(Fault::new(Code::TooManyTags, message));
    }
    if matches!(reference, Reference::Tag(_)) && !tags.is_empty() {
        let message = "tag parameters need a push by digest: put the manifest to its digest, or name one tag in the path";
        return Err(Fault::new(Code::TagNameInvalid, message));
    }
    Ok(tags)
}

/// The headers of every response with a manifest. The content of a tag may change at any time, that of a
/// digest never.
fn describe(status: StatusCode, head: &ManifestHead, reference: &Reference) -> HttpResponseBuilder {
    let digest = head.digest.to_string();
    let cache = match reference {
        Reference::Tag(_) => "no-cache",
        Reference::Digest(_) => "private, max-age=31536000, immutable",
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, head.media_type.as_str()))
        .insert_header((ETAG, format!("\"{digest}\"")))
        .insert_header((CONTENT_DIGEST, digest))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox"));
    response
}
