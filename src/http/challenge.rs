//! The 401 that tells a client where to get a token, and for what (RFC 6750; distribution, "Token Authentication").

use std::fmt::Write as _;

use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::WWW_AUTHENTICATE;

use super::error::{ApiError, Code};
use super::origin;
use super::query::Query;
use super::route::{Route, Shape};
use crate::access::Refusal;
use crate::auth::{SERVICE, SignInError};
use crate::model::names::RepoName;

/// The answer to a caller who was not recognised.
pub(crate) fn sign_in(request: &HttpRequest, error: SignInError) -> ApiError {
    let message = told(request, &error);
    let problem = match error {
        SignInError::Missing { .. } | SignInError::Malformed | SignInError::Wrong => None,
        SignInError::Stale
        | SignInError::Foreign
        | SignInError::RegistryToken
        | SignInError::Revoked
        | SignInError::Expired { .. }
        | SignInError::Disabled { .. }
        | SignInError::Anothers { .. } => Some("invalid_token"),
        SignInError::RateLimited { retry_after_s } | SignInError::PasswordQueueFull { retry_after_s } => {
            return ApiError::new(Code::TooManyRequests, message).retry_after(&retry_after_s.to_string());
        }
        SignInError::Store(error) => return ApiError::from(error),
    };
    unauthorized(request, &message, problem)
}

/// Why a caller was not recognised, with the address under which that client knows the server.
pub(crate) fn told(request: &HttpRequest, error: &SignInError) -> String {
    let origin = origin::origin(request);
    error.told(&origin.host, &origin.url("/token"))
}

/// The answer to a caller who may not do this. A registry token that covers too little is answered with the scope that
/// would do, whether the repository exists or not: that is how clients learn what to ask for.
pub(crate) fn refusal(request: &HttpRequest, refusal: Refusal) -> ApiError {
    let message = refusal.to_string();
    match refusal {
        Refusal::Scope(_) => unauthorized(request, &message, Some("insufficient_scope")),
        Refusal::Hidden => ApiError::new(Code::NameUnknown, message),
        Refusal::Denied(_) | Refusal::Forbidden(_) => ApiError::new(Code::Denied, message),
        Refusal::Store(error) => ApiError::from(error),
    }
}

/// A 401 with the challenge that docker, containerd and the others act on. Every parameter is in quotes.
fn unauthorized(request: &HttpRequest, message: &str, problem: Option<&str>) -> ApiError {
    let origin = origin::origin(request);
    let mut challenge = format!("Bearer realm=\"{}\",service=\"{SERVICE}\"", origin.url("/token"));
    if let Some(scope) = scope(request) {
        let _ = write!(challenge, ",scope=\"{scope}\"");
    }
    if let Some(problem) = problem {
        let _ = write!(challenge, ",error=\"{problem}\"");
    }
    ApiError::new(Code::Unauthorized, message).header(WWW_AUTHENTICATE, &challenge)
}

/// The scope that a request needs (protocol.md 8.4); none for `/v2/` itself.
fn scope(request: &HttpRequest) -> Option<String> {
    let extensions = request.extensions();
    let route = extensions.get::<Route>()?;
    if route.shape == Shape::Catalog {
        return Some("registry:catalog:*".to_owned());
    }
    let name: RepoName = route.name.parse().ok()?;
    let actions = match (route.shape, request.method()) {
        (Shape::Base | Shape::Catalog | Shape::Unknown, _) => return None,
        (Shape::Blob | Shape::Manifest, &Method::DELETE) => "delete",
        // A client that asks for a blob before it pushes it keeps the token that it got for this (PyPI's oras); a
        // caller who may only pull is granted no more.
        (Shape::Uploads | Shape::Upload, _)
        | (Shape::Manifest, &Method::PUT)
        | (Shape::Blob, &Method::HEAD) => "pull,push",
        (Shape::Blob | Shape::Manifest | Shape::Tags | Shape::Referrers, _) => "pull",
    };
    let mut scope = format!("repository:{name}:{actions}");
    let query = Query::of(request);
    if let Some(Ok(from)) =
        query.get("from").filter(|_| query.get("mount").is_some()).map(str::parse::<RepoName>)
    {
        let _ = write!(scope, " repository:{from}:pull");
    }
    Some(scope)
}
