//! `/v2/`: the API of the OCI distribution-spec. A route is in the file named like it.

mod base;
mod blobs;
mod catalog;
mod manifests;
mod referrers;
mod tags;
mod token;
mod uploads;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{ALLOW, CONTENT_LENGTH, HeaderName, LINK, LOCATION};
use actix_web::web;

use super::error::{ApiError, Code};
use super::route::{At, Route, Shape};

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Every route below `/v2/`.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let on = |shape, method| web::route().guard(At(shape, method));
    for path in ["/token", "/jwt/auth"] {
        config
            .service(web::resource(path).route(web::get().to(token::get)).route(web::post().to(token::post)));
    }
    config.service(web::resource("/v2/_stowage/keys").route(web::get().to(token::keys)));
    config.service(
        web::resource("/v2{tail:.*}")
            .route(on(Shape::Manifest, Method::GET).to(manifests::get))
            .route(on(Shape::Manifest, Method::HEAD).to(manifests::head))
            .route(on(Shape::Blob, Method::HEAD).to(blobs::head))
            .route(on(Shape::Blob, Method::GET).to(blobs::get))
            .route(on(Shape::Uploads, Method::POST).to(uploads::start))
            .route(on(Shape::Upload, Method::PATCH).to(uploads::patch))
            .route(on(Shape::Upload, Method::PUT).to(uploads::put))
            .route(on(Shape::Manifest, Method::PUT).to(manifests::put))
            .route(on(Shape::Upload, Method::GET).to(uploads::standing))
            .route(on(Shape::Upload, Method::HEAD).to(uploads::standing))
            .route(on(Shape::Upload, Method::DELETE).to(uploads::cancel))
            .route(on(Shape::Base, Method::GET).to(base::get))
            .route(on(Shape::Base, Method::HEAD).to(base::get))
            .route(on(Shape::Tags, Method::GET).to(tags::list))
            .route(on(Shape::Tags, Method::HEAD).to(tags::list))
            .route(on(Shape::Referrers, Method::GET).to(referrers::list))
            .route(on(Shape::Referrers, Method::HEAD).to(referrers::list))
            .route(on(Shape::Catalog, Method::GET).to(catalog::list))
            .route(on(Shape::Catalog, Method::HEAD).to(catalog::list))
            .route(on(Shape::Blob, Method::DELETE).to(blobs::delete))
            .route(on(Shape::Manifest, Method::DELETE).to(manifests::delete))
            .default_service(web::to(other)),
    );
}

/// `OPTIONS` of a known path tells its methods; any other method is refused with them, any other path is unknown.
async fn other(request: HttpRequest, route: Route) -> Result<HttpResponse, ApiError> {
    let allow = route.shape.allow();
    if allow.is_empty() {
        let message =
            "nothing is here: the registry's API is /v2/<name>/manifests, blobs, tags and referrers";
        return Err(ApiError::new(Code::NameUnknown, message));
    }
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
    }
    let message = format!("{} is not possible here; use one of {allow}", request.method());
    Err(ApiError::new(Code::Unsupported, message).header(ALLOW, allow))
}

/// An empty answer with a place and a digest.
fn created(location: &str, digest: &str) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((LOCATION, location))
        .insert_header((CONTENT_DIGEST, digest))
        .insert_header((CONTENT_LENGTH, "0"))
        .finish()
}

/// The link to the next page of a list.
fn next_link(path: &str, query: &str) -> (HeaderName, String) {
    (LINK, format!("<{path}?{query}>; rel=\"next\""))
}
