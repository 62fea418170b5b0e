//! `/token` and `/jwt/auth`: the token endpoint (distribution, "Token Authentication Specification", and its form for
//! OAuth 2.0 clients).

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::web::Payload;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Applicant, Issued, SERVICE, ScopeRequest, SignInError};
use crate::http::body;
use crate::http::error::{ApiError, Code};
use crate::http::origin::client_address;
use crate::http::query::Query;
use crate::http::route::header;

/// Bytes of a form at most.
pub const MAX_FORM: usize = 16 << 10;

/// `GET /token`
pub(super) async fn get(
    app: Data<App>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    check_service(&query)?;
    let offline = query.get("offline_token") == Some("true");
    let applicant = match header(&request, &AUTHORIZATION) {
        Some(header) => Applicant::Header(header),
        None => Applicant::Anonymous,
    };
    let scopes = scopes(&query);
    let issued =
        app.auth.issue(applicant, client_address(&request), &scopes, offline).await.map_err(refused)?;
    Ok(answer(&issued))
}

/// `POST /token`: the same as a form, with a password or a refresh token in it.
pub(super) async fn post(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let (body, _) = body::whole(&request, payload, &app, MAX_FORM).await?;
    let form = Query::parse(str::from_utf8(&body).unwrap_or_default());
    check_service(&form)?;
    let field = |name| form.get(name).unwrap_or_default().to_owned();
    let applicant = match form.get("grant_type") {
        Some("password") => Applicant::Password(field("username"), field("password")),
        Some("refresh_token") => Applicant::Refresh(field("refresh_token")),
        _ => return Err(bad_request("grant_type is `password` or `refresh_token`")),
    };
    let offline = form.get("access_type") == Some("offline");
    let scopes = scopes(&form);
    let issued =
        app.auth.issue(applicant, client_address(&request), &scopes, offline).await.map_err(refused)?;
    Ok(answer(&issued))
}

/// `GET /v2/_stowage/keys`: the public key of our tokens, for registries that trust this one (RFC 7517).
pub(super) async fn keys(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok().json(app.auth.key_set())
}

fn check_service(query: &Query) -> Result<(), ApiError> {
    match query.get("service") {
        None | Some("" | SERVICE) => Ok(()),
        Some(_) => Err(bad_request("this token endpoint serves the service \"stowage\" alone")),
    }
}

fn bad_request(message: &str) -> ApiError {
    ApiError::new(Code::Unsupported, message).status(StatusCode::BAD_REQUEST)
}

/// Every `scope` parameter, each of which may be a list. What is no scope grants nothing.
fn scopes(query: &Query) -> Vec<ScopeRequest> {
    query.all("scope").flat_map(str::split_whitespace).filter_map(|scope| scope.parse().ok()).collect()
}

fn refused(error: SignInError) -> ApiError {
    let message = error.to_string();
    match error {
        SignInError::Missing
        | SignInError::Malformed
        | SignInError::Wrong
        | SignInError::Token
        | SignInError::Personal => {
            ApiError::new(Code::Unauthorized, message).header(WWW_AUTHENTICATE, "Basic realm=\"Stowage\"")
        }
        SignInError::Busy(seconds) => {
            ApiError::new(Code::TooManyRequests, message).retry_after(&seconds.to_string())
        }
        SignInError::Store(error) => ApiError::from(error),
    }
}

fn answer(issued: &Issued) -> HttpResponse {
    let scope: Vec<String> = issued
        .access
        .iter()
        .map(|entry| format!("{}:{}:{}", entry.kind, entry.name, entry.actions.join(",")))
        .collect();
    let issued_at = i64::try_from(issued.issued_ms / 1000).ok().and_then(|s| Timestamp::from_second(s).ok());
    let mut answer = json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.expires_in,
        "issued_at": issued_at.unwrap_or_default().to_string(),
        "scope": scope.join(" "),
    });
    if let Some(refresh) = &issued.refresh {
        answer["refresh_token"] = Value::String(refresh.clone());
    }
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer)
}
