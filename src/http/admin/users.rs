//! `/api/v1/users`

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};

use super::manager::Manager;
use super::problem::{Code, Problem};
use super::{List, json, time};
use crate::app::App;
use crate::auth::{UserChange, UserError, UserView};
use crate::telemetry::Secret;

#[derive(Serialize)]
struct User {
    id: u64,
    name: String,
    admin: bool,
    disabled: bool,
    created_at: String,
}

impl From<UserView> for User {
    fn from(view: UserView) -> Self {
        let UserView { id, name, admin, disabled, created_ms } = view;
        Self { id, name, admin, disabled, created_at: time(created_ms) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
    password: String,
    #[serde(default)]
    admin: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    password: Option<String>,
    disabled: Option<bool>,
}

/// `GET /api/v1/users`
pub(super) async fn list(app: Data<App>, manager: Manager) -> Result<HttpResponse, Problem> {
    let users = app.auth.users(manager.grant()).await?;
    let users: Vec<User> = users.into_iter().map(User::from).collect();
    Ok(json(StatusCode::OK, &List::whole(users)))
}

/// `POST /api/v1/users`
pub(super) async fn create(
    app: Data<App>,
    manager: Manager,
    Json(new): Json<NewUser>,
) -> Result<HttpResponse, Problem> {
    let view = app.auth.add_user(manager.grant(), &new.name, Secret::new(new.password), new.admin).await?;
    let place = HeaderValue::from_str(&format!("/api/v1/users/{}", view.name));
    let mut response = json(StatusCode::CREATED, &User::from(view));
    if let Ok(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET /api/v1/users/{name}`
pub(super) async fn show(
    app: Data<App>,
    manager: Manager,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let users = app.auth.users(manager.grant()).await?;
    let user = users.into_iter().find(|user| user.name == *name);
    let user = user.ok_or_else(|| UserError::Unknown(name.into_inner()))?;
    Ok(json(StatusCode::OK, &User::from(user)))
}

/// `PATCH /api/v1/users/{name}`
pub(super) async fn change(
    app: Data<App>,
    manager: Manager,
    name: Path<String>,
    Json(change): Json<Change>,
) -> Result<HttpResponse, Problem> {
    let change = match change {
        Change { password: Some(password), disabled: None } => UserChange::Password(Secret::new(password)),
        Change { password: None, disabled: Some(true) } => UserChange::Disable,
        Change { password: None, disabled: Some(false) } => UserChange::Enable,
        Change { .. } => {
            return Err(Problem::new(Code::BodyInvalid, "the body has either password or disabled"));
        }
    };
    let view = app.auth.change_user(manager.grant(), &name, change).await?;
    Ok(json(StatusCode::OK, &User::from(view)))
}

/// `DELETE /api/v1/users/{name}`
pub(super) async fn delete(
    app: Data<App>,
    manager: Manager,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    app.auth.delete_user(manager.grant(), &name).await?;
    Ok(HttpResponse::NoContent().finish())
}
