//! `/api/v1/tokens`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::{Data, Path};

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{form, json, time};
use crate::access::{ManageTokens, ReadTokens, Scopes};
use crate::app::App;
use crate::http::fault::Code;
use crate::model::names::TokenId;
use crate::people::{MadeToken, NewToken, TokenView};
use crate::wire::{self, CreatedToken, Token};

/// The longest lifetime in seconds, 136 years, so that adding it to a time cannot overflow.
const MAX_LIFETIME_S: u64 = u32::MAX as u64;

/// The paths of tokens.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let all = at("/tokens")
        .get(list, || {
            operation("listTokens", "List tokens by number. For admins.")
                .in_parts()
                .query("user", "Only those of this user.", form::user_name())
                .lists::<Token>("Tokens", "Tokens.")
        })
        .post(create, || {
            operation("createToken", "Make a token. For admins.")
                .takes::<wire::NewToken>()
                .answers::<CreatedToken>(201, "The token with its secret.")
        });
    let one = at("/tokens/{id}")
        .get(show, || of_token("showToken", "Show a token. For admins.").answers::<Token>(200, "The token."))
        .delete(revoke, || {
            of_token("revokeToken", "End a token, from the next request on. For admins.")
                .answers::<Token>(200, "What it was.")
        });
    vec![all, one]
}

fn of_token(id: &str, summary: &str) -> Operation {
    operation(id, summary).path("id", "The token's number.", form::text())
}

impl From<TokenView> for Token {
    fn from(view: TokenView) -> Self {
        let TokenView { id, user, name, scopes, state, created_ms, expires_ms, last_used_ms, last_address } =
            view;
        Self {
            id,
            user,
            name,
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            state: state.to_owned(),
            created_at: time(created_ms),
            expires_at: expires_ms.map(time),
            last_used_at: last_used_ms.map(time),
            last_used_from: (!last_address.is_empty()).then_some(last_address),
        }
    }
}

/// `GET /api/v1/tokens[?user=NAME]`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<ReadTokens>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let (user, last) = (page.filter("user"), page.last_number()?.map(TokenId));
    let found = app.people.tokens(permit.grant(), user, last, page.wanted()).await?;
    Ok(page.answer::<_, Token>(found, |token| token.id.to_string()))
}

/// `POST /api/v1/tokens`
pub(super) async fn create(
    app: Data<App>,
    permit: Permit<ManageTokens>,
    sent: Sent<wire::NewToken>,
) -> Result<HttpResponse, Problem> {
    let new = sent.read(&permit).await?;
    let lifetime_s = new.lifetime_s.0;
    if lifetime_s.is_some_and(|lifetime| !(1..=MAX_LIFETIME_S).contains(&lifetime)) {
        return Err(Problem::new(
            Code::LifetimeInvalid,
            "a token is valid for 1 second to 49710 days, or for ever",
        ));
    }
    let scopes = Scopes::named(new.scopes.iter().map(String::as_str))?;
    let new = NewToken { user: new.user, name: new.name, scopes, lifetime_s };
    let MadeToken { view, secret, warnings } = app.people.create_token(permit.grant(), new).await?;
    let place = HeaderValue::from_str(&format!("/api/v1/tokens/{}", view.id));
    let created = CreatedToken { token: Token::from(view), secret: secret.into_inner(), warnings };
    let mut response = json(StatusCode::CREATED, &created);
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET /api/v1/tokens/{id}`
pub(super) async fn show(
    app: Data<App>,
    permit: Permit<ReadTokens>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = app.people.token(permit.grant(), number(&id)?)?;
    Ok(json(StatusCode::OK, &Token::from(view)))
}

/// `DELETE /api/v1/tokens/{id}`: returns what was revoked.
pub(super) async fn revoke(
    app: Data<App>,
    permit: Permit<ManageTokens>,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = app.people.revoke_token(permit.grant(), number(&id)?).await?;
    app.end_uploads_without_owner();
    Ok(json(StatusCode::OK, &Token::from(view)))
}

/// Parses the number of a token. If a client sent a secret instead, the error does not repeat it.
fn number(id: &str) -> Result<TokenId, Problem> {
    id.parse().map(TokenId).map_err(|_| Problem::new(Code::TokenUnknown, "a token is named by its number"))
}
