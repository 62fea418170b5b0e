//! Users and personal tokens, created through the admin API.

use serde_json::{Value, json};

use crate::support::{Client, TestStowage};

pub(crate) const PASSWORD: &str = "harbour-crane-and-rope";
pub(crate) const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// Creates a user with [`PASSWORD`], and a client who signs in with it.
pub(crate) fn add(server: &TestStowage, name: &str, admin: bool) -> Client {
    let body = json!({ "name": name, "password": PASSWORD, "admin": admin }).to_string();
    server.admin().send("POST", "/api/v1/users", JSON, body.as_bytes()).expect(201);
    server.client().basic(name, PASSWORD)
}

/// Creates a personal token and returns the API's answer.
pub(crate) fn token(server: &TestStowage, wanted: &Value) -> Value {
    server.admin().send("POST", "/api/v1/tokens", JSON, wanted.to_string().as_bytes()).expect(201).json()
}

/// Creates a personal token without expiry and returns its secret.
pub(crate) fn secret(server: &TestStowage, user: &str, scopes: &[&str]) -> String {
    let wanted = json!({ "user": user, "name": scopes.join("-"), "scopes": scopes });
    token(server, &wanted)["secret"].as_str().expect("a secret").to_owned()
}
