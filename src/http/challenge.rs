//! The 401 that tells a client where to get a token, and for what (RFC 6750; distribution, "Token
//! Authentication").

use std::fmt::Write as _;

use actix_web::http::Method;
use actix_web::http::header::WWW_AUTHENTICATE;
use actix_web::{HttpMessage as _, HttpRequest};

use super::fault::{Code, Fault};
use super::origin;
use super::query::Query;
use super::route::{Route, Shape};
use crate::access::Refusal;
use crate::auth::{SERVICE, SignInError};
use crate::model::names::RepoName;

/// The challenge where a name and a password are asked for.
pub(crate) const BASIC: &str = "Basic realm=\"Stowage\"";

/// The answer to a caller who was not recognised.
pub(crate) fn sign_in(request: &HttpRequest, error: SignInError) -> Fault {
    let problem = match error {
        SignInError::Missing { .. } | SignInError::Malformed | SignInError::Wrong => None,
        _ => Some("invalid_token"),
    };
    challenged(not_recognised(request, error), || bearer(request, problem))
}

/// The same where a name and a password are asked for.
pub(crate) fn sign_in_with_password(request: &HttpRequest, error: SignInError) -> Fault {
    challenged(not_recognised(request, error), || BASIC.to_owned())
}

/// Why a caller was not recognised, with the address under which that client knows the server.
fn not_recognised(request: &HttpRequest, error: SignInError) -> Fault {
    let origin = origin::origin(request);
    let message = error.told(&origin.host, &origin.url("/token"));
    Fault::sign_in(error, message)
}

/// The answer to a caller who may not do this. A registry token that covers too little is answered with the
/// scope that would do, whether the repository exists or not: that is how clients learn what to ask for.
pub(crate) fn refusal(request: &HttpRequest, refusal: Refusal) -> Fault {
    challenged(Fault::from(refusal), || bearer(request, Some("insufficient_scope")))
}

/// A 401 says how to sign in; any other answer stays as it is.
fn challenged(fault: Fault, challenge: impl FnOnce() -> String) -> Fault {
    if fault.code() == Code::Unauthorized { fault.header(WWW_AUTHENTICATE, &challenge()) } else { fault }
}

/// The challenge that docker, containerd and the others act on. Every parameter is in quotes.
fn bearer(request: &HttpRequest, problem: Option<&str>) -> String {
    let origin = origin::origin(request);
    let mut challenge = format!("Bearer realm=\"{}\",service=\"{SERVICE}\"", origin.url("/token"));
    if let Some(scope) = scope(request) {
        let _ = write!(challenge, ",scope=\"{scope}\"");
    }
    if let Some(problem) = problem {
        let _ = write!(challenge, ",error=\"{problem}\"");
    }
    challenge
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
        // A client that asks for a blob before it pushes it keeps the token that it got for this (PyPI's
        // oras); a caller who may only pull is granted no more.
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
