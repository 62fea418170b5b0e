//! `/token` and `/jwt/auth`: the token endpoint (CNCF Distribution, "Token Authentication Specification" and
//! its form for OAuth 2.0).

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
use crate::http::observe::AccessRecord;
use crate::http::origin::client_address;
use crate::http::query::Query;
use crate::http::route::header;
use crate::limits::Holder;

/// The most bytes of a form.
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

/// `POST /token`: the same with a form that contains a password or a refresh token.
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
    // A refresh token is stored for months. While the disk is nearly full none is issued, and the client
    // keeps the password instead.
    let offline = offline && app.registry.has_space();
    let issued = app.auth.issue(applicant, client_address(request), scopes, offline).await;
    let issued = issued.map_err(|error| challenge::sign_in_with_password(request, error))?;
    if let Some(seen) = request.extensions().get::<AccessRecord>() {
        seen.name(&issued.name);
    }
    Ok(answer(&issued))
}

/// `GET /v2/_stowage/keys`: the public key of the tokens, for registries that trust this one (RFC 7517).
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

/// 429 makes a client wait and retry; 503 would say that the registry is down.
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

/// Every `scope` parameter; each may be a list. A text that is not a scope grants nothing.
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
    // Without `issued_at`: clients would compute the expiry from it with their own clock, and would not renew
    // the token in time if the clocks differ. Without it they count `expires_in` from the response.
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
