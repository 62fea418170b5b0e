//! `/api/v1/users`

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use super::endpoint::{Endpoint, at};
use super::operation::{Operation, operation};
use super::page::PageQuery;
use super::permit::Permit;
use super::problem::Problem;
use super::sent::Sent;
use super::{expected, form, json_at, time};
use crate::access::{ManageUsers, ReadUsers};
use crate::app::App;
use crate::http::fault::Code;
use crate::people::{UserChange, UserView};
use crate::telemetry::Secret;
use crate::wire::{self, Absent, NewUser, User};

/// The paths of users.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = at("/users/{name}")
        .get(show, || {
            of_user("showUser", "Show a user. For admins.").answers_with_version::<User>(200, "The user.")
        })
        .patch(change, || {
            of_user(
                "changeUser",
                "Give a user another password, or keep the user from signing in. For admins.",
            )
            .shared("ifMatch")
            .takes::<wire::UserChange>()
            .answers_with_version::<User>(200, "The user.")
        })
        .delete(delete, || {
            of_user("deleteUser", "Remove a user with all tokens. For admins.")
                .shared("ifMatch")
                .answers_nothing("The user is gone.")
        });
    let all = at("/users")
        .get(list, || {
            let operation = operation("listUsers", "List users by name. For admins.");
            operation.in_parts().lists::<User>("Users", "Users.")
        })
        .post(create, || {
            operation("createUser", "Make a user. For admins.")
                .takes::<NewUser>()
                .answers_with_version::<User>(201, "The user.")
        });
    vec![all, one]
}

fn of_user(id: &str, summary: &str) -> Operation {
    operation(id, summary).path("name", "The user.", form::user_name())
}

impl From<UserView> for User {
    fn from(view: UserView) -> Self {
        let UserView { id, name, admin, disabled, created_ms, version: _ } = view;
        Self { id, name, admin, disabled, created_at: time(created_ms) }
    }
}

/// A response with one user.
fn answer(status: StatusCode, view: UserView) -> HttpResponse {
    let version = view.version.clone();
    json_at(status, &version, &User::from(view))
}

/// `GET /api/v1/users`
pub(super) async fn list(
    app: Data<App>,
    permit: Permit<ReadUsers>,
    page: PageQuery,
) -> Result<HttpResponse, Problem> {
    let found = app.people.users(permit.grant(), page.last(), page.wanted()).await?;
    Ok(page.answer::<_, User>(found, |user| user.name.clone()))
}

/// `POST /api/v1/users`
pub(super) async fn create(
    app: Data<App>,
    permit: Permit<ManageUsers>,
    sent: Sent<NewUser>,
) -> Result<HttpResponse, Problem> {
    let new = sent.read(&permit).await?;
    let view = app.people.add_user(permit.grant(), &new.name, Secret::new(new.password), new.admin).await?;
    let place = HeaderValue::from_str(&format!("/api/v1/users/{}", view.name));
    let mut response = answer(StatusCode::CREATED, view);
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET /api/v1/users/{name}`
pub(super) async fn show(
    app: Data<App>,
    permit: Permit<ReadUsers>,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    Ok(answer(StatusCode::OK, app.people.user(permit.grant(), &name)?))
}

/// `PATCH /api/v1/users/{name}`
pub(super) async fn change(
    app: Data<App>,
    permit: Permit<ManageUsers>,
    request: HttpRequest,
    name: Path<String>,
    sent: Sent<wire::UserChange>,
) -> Result<HttpResponse, Problem> {
    let change = sent.read(&permit).await?;
    let change = match (change.password, change.disabled) {
        (Absent(Some(password)), Absent(None)) => UserChange::Password(Secret::new(password)),
        (Absent(None), Absent(Some(true))) => UserChange::Disable,
        (Absent(None), Absent(Some(false))) => UserChange::Enable,
        _ => return Err(Problem::new(Code::BodyInvalid, "the body has either password or disabled")),
    };
    let view = app.people.change_user(permit.grant(), &name, expected(&request)?, change).await?;
    if view.disabled {
        app.end_uploads_without_owner();
    }
    Ok(answer(StatusCode::OK, view))
}

/// `DELETE /api/v1/users/{name}`
pub(super) async fn delete(
    app: Data<App>,
    permit: Permit<ManageUsers>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    app.people.delete_user(permit.grant(), &name, expected(&request)?).await?;
    app.end_uploads_without_owner();
    Ok(HttpResponse::NoContent().finish())
}
