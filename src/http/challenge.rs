//! Challenges: a 401 tells a client where to get a token, and for which scope (RFC 6750; CNCF Distribution,
//! "Token Authentication Specification").

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

/// The challenge for a name and a password.
pub(crate) const BASIC: &str = "Basic realm=\"Stowage\"";

/// The response to a caller whose sign-in failed, with a Bearer challenge.
pub(crate) fn sign_in(request: &HttpRequest, error: SignInError) -> Fault {
    let problem = match error {
        SignInError::Missing { .. } | SignInError::Malformed | SignInError::Wrong => None,
        _ => Some("invalid_token"),
    };
    challenged(not_recognised(request, error), || bearer(request, problem))
}

/// The same with a Basic challenge.
pub(crate) fn sign_in_with_password(request: &HttpRequest, error: SignInError) -> Fault {
    challenged(not_recognised(request, error), || BASIC.to_owned())
}

/// Why the sign-in failed, with the URL under which this client knows the server.
fn not_recognised(request: &HttpRequest, error: SignInError) -> Fault {
    let origin = origin::origin(request);
    let message = error.told(&origin.host, &origin.url("/token"));
    Fault::sign_in(error, message)
}

/// The response to a caller without the permission. If a registry token covers too little, the challenge
/// names the scope that would suffice, whether the repository exists or not: this is how clients learn what
/// to request.
pub(crate) fn refusal(request: &HttpRequest, refusal: Refusal) -> Fault {
    challenged(Fault::from(refusal), || bearer(request, Some("insufficient_scope")))
}

/// Adds a challenge to a 401; other responses stay unchanged.
fn challenged(fault: Fault, challenge: impl FnOnce() -> String) -> Fault {
    if fault.code() == Code::Unauthorized { fault.header(WWW_AUTHENTICATE, &challenge()) } else { fault }
}

/// The Bearer challenge for docker, containerd and other clients. Every parameter is in quotes.
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

/// The scope that a request needs (CNCF Distribution, "Token Scope Documentation"); `None` for `/v2/` itself.
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
        // A client that reads a blob before it pushes it keeps the token that it got for the read (oras of
        // PyPI), so the challenge asks for both; a caller who may only pull is granted no more than that.
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
