//! `/token` and `/jwt/auth`: the token endpoint (distribution, "Token Authentication Specification", and its
//! form for OAuth 2.0 clients).

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL};
use actix_web::web::{Data, Payload};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::ApiError;
use crate::app::App;
use crate::auth::{Applicant, Issued, SERVICE, ScopeRequest};
use crate::http::body::{self, WholeError};
use crate::http::challenge;
use crate::http::fault::{Code, Fault};
use crate::http::observe::Seen;
use crate::http::origin::client_address;
use crate::http::query::Query;
use crate::http::route::header;
use crate::limits::Holder;

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
    issue(&app, &request, applicant, &scopes, offline).await
}

/// `POST /token`: the same as a form, with a password or a refresh token in it.
pub(super) async fn post(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let holder = Holder::address(client_address(&request));
    let body = body::small(&request, payload, &app, &holder, MAX_FORM).await.map_err(not_whole)?;
    let form = Query::parse(str::from_utf8(&body).unwrap_or_default());
    check_service(&form)?;
    let field = |name| form.get(name).unwrap_or_default().to_owned();
    let applicant = match form.get("grant_type") {
        Some("password") => Applicant::Password(field("username"), field("password")),
        Some("refresh_token") => Applicant::Refresh(field("refresh_token")),
        _ => {
            let message = "grant_type is `password` or `refresh_token`";
            return Err(Fault::new(Code::FormInvalid, message).into());
        }
    };
    let offline = form.get("access_type") == Some("offline");
    let scopes = scopes(&form);
    issue(&app, &request, applicant, &scopes, offline).await
}

async fn issue(
    app: &App,
    request: &HttpRequest,
    applicant: Applicant<'_>,
    scopes: &[ScopeRequest],
    offline: bool,
) -> Result<HttpResponse, ApiError> {
    // A refresh token is kept for months. While the disk is nearly full the client keeps its password
    // instead.
    let offline = offline && app.registry.has_space();
    let issued = app.auth.issue(applicant, client_address(request), scopes, offline).await;
    let issued = issued.map_err(|error| challenge::sign_in_with_password(request, error))?;
    if let Some(seen) = request.extensions().get::<Seen>() {
        seen.name(&issued.name);
    }
    Ok(answer(&issued))
}

/// `GET /v2/_stowage/keys`: the public key of our tokens, for registries that trust this one (RFC 7517).
pub(super) async fn keys(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok().json(app.auth.key_set())
}

fn check_service(query: &Query) -> Result<(), Fault> {
    match query.get("service") {
        None | Some("" | SERVICE) => Ok(()),
        Some(_) => {
            let message = "this token endpoint serves the service \"stowage\" alone";
            Err(Fault::new(Code::FormInvalid, message))
        }
    }
}

/// A client that is told 429 waits and comes again; 503 would say that the registry is down.
fn not_whole(error: WholeError) -> Fault {
    match error {
        WholeError::Limit(reached) => Fault::wait(&reached),
        WholeError::TooLarge(limit) => {
            let message = format!("the form has more than {limit} bytes; ask for fewer scopes at once");
            Fault::new(Code::FormTooLarge, message)
        }
        error => Fault::from(error),
    }
}

/// Every `scope` parameter, each of which may be a list. What is no scope grants nothing.
fn scopes(query: &Query) -> Vec<ScopeRequest> {
    query.all("scope").flat_map(str::split_whitespace).filter_map(|scope| scope.parse().ok()).collect()
}

fn answer(issued: &Issued) -> HttpResponse {
    let scope: Vec<String> = issued
        .access
        .iter()
        .filter(|entry| !entry.actions.is_empty())
        .map(|entry| format!("{}:{}:{}", entry.kind, entry.name, entry.actions.join(",")))
        .collect();
    // No `issued_at`: clients would take the end of the token from it and their own clock, and where the
    // clocks differ not renew it in time. Without it they count `expires_in` from the answer.
    let mut answer = json!({
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.expires_in,
        "scope": scope.join(" "),
    });
    if let Some(refresh) = &issued.refresh {
        answer["refresh_token"] = Value::String(refresh.clone());
    }
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer)
}
