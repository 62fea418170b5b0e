//! `/v2/`: the API of the OCI distribution-spec. Each route is in the file with the last word of its path.

mod base;
mod blobs;
mod catalog;
mod error;
mod manifests;
mod permit;
mod referrers;
mod tags;
mod token;
mod uploads;

use std::pin::Pin;

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, CONTENT_LENGTH, HeaderName, LINK, LOCATION};
use actix_web::{
    Error, FromRequest, Handler, HttpMessage as _, HttpRequest, HttpResponse, Responder, ResponseError as _,
    web,
};

pub use token::MAX_FORM;

use super::fault::{Code, Fault};
use super::route::{Route, Shape};
use error::ApiError;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Every route below `/v2/`, and the token endpoint.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let keys = web::resource("/_stowage/keys").route(web::get().to(token::keys));
    let keys =
        keys.default_service(web::to(|request: HttpRequest| async move { wrong_method(&request, "GET") }));
    config.service(web::scope("/v2").service(keys).default_service(web::to(dispatch)));
    for path in ["/token", "/jwt/auth"] {
        let token = web::resource(path).route(web::get().to(token::get)).route(web::post().to(token::post));
        config.service(token.default_service(web::to(|request: HttpRequest| async move {
            wrong_method(&request, "GET, POST")
        })));
    }
}

/// The future of a handler. Each is boxed separately: one future with room for any handler would be as large
/// as the largest (11 KiB, of an upload), and every pull would allocate and copy that.
type Answer = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>>>>;

/// Parses the path once and passes the request to its handler. The patterns of the web framework are regular
/// expressions, tried one after the other for every request; and they cannot parse a path from the right.
fn dispatch(request: HttpRequest, payload: web::Payload) -> Answer {
    let route = Route::parse(request.path());
    let shape = route.shape;
    request.extensions_mut().insert(route);
    match (shape, request.method()) {
        (Shape::Manifest, &Method::GET) => run(manifests::get, request, payload),
        (Shape::Manifest, &Method::HEAD) => run(manifests::head, request, payload),
        (Shape::Manifest, &Method::PUT) => run(manifests::put, request, payload),
        (Shape::Manifest, &Method::DELETE) => run(manifests::delete, request, payload),
        (Shape::Blob, &Method::GET) => run(blobs::get, request, payload),
        (Shape::Blob, &Method::HEAD) => run(blobs::head, request, payload),
        (Shape::Blob, &Method::DELETE) => run(blobs::delete, request, payload),
        (Shape::Uploads, &Method::POST) => run(uploads::start, request, payload),
        (Shape::Upload, &Method::GET | &Method::HEAD) => run(uploads::standing, request, payload),
        (Shape::Upload, &Method::PATCH) => run(uploads::patch, request, payload),
        (Shape::Upload, &Method::PUT) => run(uploads::put, request, payload),
        (Shape::Upload, &Method::DELETE) => run(uploads::cancel, request, payload),
        (Shape::Base, &Method::GET | &Method::HEAD) => run(base::get, request, payload),
        (Shape::Tags, &Method::GET | &Method::HEAD) => run(tags::list, request, payload),
        (Shape::Referrers, &Method::GET | &Method::HEAD) => run(referrers::list, request, payload),
        (Shape::Catalog, &Method::GET | &Method::HEAD) => run(catalog::list, request, payload),
        _ => run(other, request, payload),
    }
}

/// Runs the extractors of a handler, then the handler.
fn run<H, Parts>(handler: H, request: HttpRequest, payload: web::Payload) -> Answer
where
    H: Handler<Parts, Output: Responder>,
    Parts: FromRequest + 'static,
{
    Box::pin(async move {
        // The payload must live until the response exists: if a handler did not read the body, dropping it
        // ends the connection.
        let mut payload = payload.into_inner();
        let parts = Parts::from_request(&request, &mut payload).await.map_err(Into::into)?;
        Ok(handler.call(parts).await.respond_to(&request).map_into_boxed_body())
    })
}

/// The response to other requests: `OPTIONS` of a known path lists its methods, another method is refused
/// with that list, and another path is unknown.
async fn other(request: HttpRequest, route: Route) -> Result<HttpResponse, ApiError> {
    let allow = route.shape.allow();
    if allow.is_empty() {
        let message =
            "nothing is here: the registry's API is /v2/<name>/manifests, blobs, tags and referrers";
        return Err(Fault::new(Code::PathUnknown, message).into());
    }
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((ALLOW, allow)).finish());
    }
    wrong_method(&request, allow)
}

/// Refuses a method, with those that the path has (RFC 9110, 15.5.6).
fn wrong_method(request: &HttpRequest, allow: &'static str) -> Result<HttpResponse, ApiError> {
    let message = format!("{} is not possible here; use one of {allow}", request.method());
    Err(Fault::new(Code::MethodNotAllowed, message).header(ALLOW, allow).into())
}

/// The response to a request that no handler sees.
pub(super) fn refusal(fault: Fault) -> HttpResponse {
    ApiError::from(fault).error_response()
}

/// An empty response with a location and a digest.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of the future that each request of a pull allocates.
    const LARGEST_PULL: usize = 2 << 10;

    const fn size<H: Handler<Parts>, Parts>(_: &H) -> usize {
        size_of::<H::Future>()
    }

    #[test]
    fn a_pull_does_not_pay_for_the_future_of_an_upload() {
        assert_eq!(size(&dispatch), size_of::<Answer>());
        for pull in [size(&manifests::get), size(&manifests::head), size(&blobs::get), size(&blobs::head)] {
            assert!(pull <= LARGEST_PULL, "{pull} bytes");
        }
        assert!(size(&uploads::put) > LARGEST_PULL, "else nothing is to be kept apart");
    }
}
