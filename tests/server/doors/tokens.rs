//! The token endpoint, and what its tokens permit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use stowage::model::media_type::OCI_MANIFEST;

use crate::support::{Client, Response, TestStowage, content};

/// Requests a token and returns the answer.
pub(crate) fn ask(client: &Client, query: &str) -> Value {
    client.get(&format!("/token?service=stowage&{query}")).expect(200).json()
}

/// A client with a token for these scopes.
pub(crate) fn bearer(server: &TestStowage, scopes: &str) -> Client {
    let answer = ask(&server.admin(), scopes);
    server.client().authorization(&format!("Bearer {}", answer["token"].as_str().expect("a token")))
}

pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims as JSON")
}

fn post(client: &Client, form: &str) -> Response {
    client.send("POST", "/token", &[("Content-Type", "application/x-www-form-urlencoded")], form.as_bytes())
}

#[test]
fn the_answer_has_every_field_that_clients_read() {
    let server = TestStowage::with_sign_in();
    let response = server.admin().get("/token?service=stowage&scope=repository:a:pull,push").expect(200);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let answer = response.json();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(answer["scope"], "repository:a:pull,push");
    assert!(answer.get("issued_at").is_none(), "clients with another clock would not renew it in time");
    assert!(answer.get("refresh_token").is_none());
    let claims = claims(answer["token"].as_str().unwrap());
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["sub"]),
        (&json!("stowage"), &json!("stowage"), &json!("admin"))
    );
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
}

#[test]
fn a_push_and_a_pull_work_with_tokens_alone() {
    let server = TestStowage::with_sign_in();
    let push = bearer(&server, "scope=repository:team/app:pull,push");
    let manifest = content::push_image(&push, "team/app", "1", b"a layer");
    let pull = bearer(&server, "scope=repository:team/app:pull");
    assert_eq!(pull.get("/v2/team/app/manifests/1").expect(200).body, manifest);
    pull.get("/v2/").expect(200);
    server
        .client()
        .authorization(&format!("bearer {}", ask(&server.admin(), "")["token"].as_str().unwrap()))
        .get("/v2/")
        .expect(200);
}

#[test]
fn a_token_does_only_what_it_was_asked_for() {
    let server = TestStowage::with_sign_in();
    let manifest = content::push_image(&server.admin(), "team/app", "1", b"a layer");
    let pull = bearer(&server, "scope=repository:team/app:pull");
    let refused = pull.send("PUT", "/v2/team/app/manifests/2", &[("Content-Type", OCI_MANIFEST)], &manifest);
    let challenge = refused.expect_error(401, "UNAUTHORIZED").header("www-authenticate").unwrap().to_owned();
    assert!(
        challenge.contains("scope=\"repository:team/app:pull,push\",error=\"insufficient_scope\""),
        "{challenge}"
    );
    pull.delete("/v2/team/app/manifests/1").expect_error(401, "UNAUTHORIZED");
    pull.get("/v2/team/other/manifests/1").expect_error(401, "UNAUTHORIZED");
    pull.get("/v2/_catalog").expect_error(401, "UNAUTHORIZED");
    bearer(&server, "scope=registry:catalog:*").get("/v2/_catalog").expect(200);
    bearer(&server, "scope=repository:team/app:delete").delete("/v2/team/app/manifests/1").expect(202);
}

#[test]
fn nobody_gets_a_token_that_opens_nothing_but_the_door() {
    let server = TestStowage::with_sign_in();
    content::push_image(&server.admin(), "team/app", "1", b"a layer");
    let answer = ask(&server.client(), "scope=repository:team/app:pull");
    assert_eq!(answer["scope"], "");
    let anonymous = server.client().authorization(&format!("Bearer {}", answer["token"].as_str().unwrap()));
    anonymous.get("/v2/").expect(200);
    anonymous.get("/v2/team/app/manifests/1").expect_error(401, "UNAUTHORIZED");
}

#[test]
fn wrong_credentials_get_no_token() {
    let server = TestStowage::with_sign_in();
    let wrong = server.client().basic("admin", "wrong password");
    let response = wrong.get("/token?service=stowage").expect_error(401, "UNAUTHORIZED");
    assert!(response.header("www-authenticate").unwrap().starts_with("Basic "));
    post(&server.client(), "grant_type=password&service=stowage&client_id=x&username=admin&password=no")
        .expect(401);
    post(&server.client(), "grant_type=refresh_token&service=stowage&refresh_token=stw_ref_x").expect(401);
    post(&server.client(), "grant_type=other").expect(400);
    server.admin().get("/token?service=another").expect(400);
}

#[test]
fn a_refresh_token_stands_for_the_password_at_the_token_endpoint_only() {
    let server = TestStowage::with_sign_in();
    let login = ask(&server.admin(), "account=admin&client_id=docker&offline_token=true");
    let refresh = login["refresh_token"].as_str().unwrap();
    let form = format!(
        "grant_type=refresh_token&service=stowage&client_id=docker&scope=repository:a:pull&scope=repository:a:pull,push&refresh_token={refresh}"
    );
    let answer = post(&server.client(), &form).expect(200).json();
    assert_eq!(answer["scope"], "repository:a:pull,push", "scopes are joined");
    assert_eq!(answer["refresh_token"], refresh);
    let push = server.client().authorization(&format!("Bearer {}", answer["access_token"].as_str().unwrap()));
    content::push_blob(&push, "a", b"x");
    server.client().authorization(&format!("Bearer {refresh}")).get("/v2/").expect(401);
    server.client().basic("admin", refresh).get("/v2/").expect(401);
}

#[test]
fn a_password_grant_answers_like_basic() {
    let server = TestStowage::with_sign_in();
    let password = server.password.clone().unwrap();
    let form = format!(
        "grant_type=password&client_id=containerd-client&service=stowage&username=admin&password={password}&scope=repository%3Aa%3Apull+repository%3Aa%3Apull%2Cpush&access_type=offline"
    );
    let answer = post(&server.client(), &form).expect(200).json();
    assert_eq!(answer["scope"], "repository:a:pull,push");
    assert!(answer["refresh_token"].as_str().unwrap().starts_with("stw_ref_"));
}

#[test]
fn both_names_of_the_endpoint_answer() {
    let server = TestStowage::with_sign_in();
    server.admin().get("/jwt/auth?service=stowage&scope=repository:a:pull").expect(200);
    let keys = server.client().get("/v2/_stowage/keys").expect(200).json();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["crv"]), (&json!("EC"), &json!("P-256")));
}

#[test]
fn tokens_outlive_a_restart() {
    let directory = tempfile::TempDir::new().unwrap();
    let setup = || crate::support::Setup {
        open: false,
        directory: Some(directory.path().to_owned()),
        ..crate::support::Setup::default()
    };
    let server = TestStowage::with(setup());
    let token = ask(&server.admin(), "scope=repository:a:pull,push")["token"].as_str().unwrap().to_owned();
    server.stop();
    let server = TestStowage::with(setup());
    content::push_blob(&server.client().authorization(&format!("Bearer {token}")), "a", b"x");
}

#[test]
fn a_changed_token_is_refused() {
    let server = TestStowage::with_sign_in();
    let token = ask(&server.admin(), "scope=repository:a:pull")["token"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims = claims(&token);
    claims["access"][0]["actions"] = json!(["pull", "push", "delete"]);
    let forged = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap());
    let none = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"none"}"#);
    for token in [
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{forged}."),
        format!("{}.{}", parts[0], parts[1]),
    ] {
        server
            .client()
            .authorization(&format!("Bearer {token}"))
            .get("/v2/")
            .expect_error(401, "UNAUTHORIZED");
    }
}
