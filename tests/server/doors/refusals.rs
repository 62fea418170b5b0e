//! Messages of refusals: they say what is wrong and what to do.

use serde_json::json;
use stowage::auth::MAX_SCOPES;

use crate::doors::people::{JSON, PASSWORD, add, secret, token};
use crate::doors::tokens::ask;
use crate::support::content::{push_image, sha256};
use crate::support::{Client, Setup, TestStowage};

fn with_bearer(server: &TestStowage, token: &str) -> Client {
    server.client().authorization(&format!("Bearer {token}"))
}

/// A client with a registry token for these scopes.
fn issued(server: &TestStowage, to: &Client, scopes: &str) -> Client {
    let answer = ask(to, &format!("scope={scopes}"));
    with_bearer(server, answer["token"].as_str().expect("a token"))
}

fn change(server: &TestStowage, user: &str, change: &serde_json::Value) {
    let path = format!("/api/v1/users/{user}");
    server.admin().send("PATCH", &path, JSON, change.to_string().as_bytes()).expect(200);
}

#[test]
fn a_registry_token_opens_nothing_at_the_admin_api_whatever_it_covers() {
    let server = TestStowage::with_sign_in();
    push_image(&server.admin(), "team/app", "1", b"layer");
    let scopes = "repository:team/app:delete,pull,push+registry:catalog:*";
    let by_token = issued(&server, &server.admin(), scopes);
    by_token.get("/v2/_catalog").expect(200);
    for (method, path) in [
        ("DELETE", "/api/v1/repositories/team/app"),
        ("GET", "/api/v1/repositories/team/app"),
        ("GET", "/api/v1/repositories/team/app/-/tags"),
        ("DELETE", "/api/v1/repositories/team/app/-/tags/1"),
        ("GET", "/api/v1/repositories"),
        ("GET", "/api/v1/repositories/team/app/-/sizes"),
        ("GET", "/api/v1/system"),
        ("GET", "/api/v1/storage/top"),
        ("POST", "/api/v1/deletions/preview"),
        ("GET", "/api/v1/users"),
        ("GET", "/api/v1/tokens"),
        ("GET", "/api/v1/jobs"),
        ("POST", "/api/v1/checks"),
    ] {
        // Also if the registry accepted and cached the token a moment ago.
        let refused = by_token.send(method, path, JSON, b"{}").expect(401).json();
        assert_eq!(
            refused["detail"],
            "a registry token counts at /v2/ alone: use a personal token (stw_pat_...) or a password",
            "{method} {path}"
        );
    }
    server.admin().get("/v2/team/app/manifests/1").expect(200);
}

#[test]
fn what_is_no_token_of_this_registry_is_called_so() {
    let server = TestStowage::with_sign_in();
    let foreign = with_bearer(&server, "eyJhbGciOiJFUzI1NiJ9.e30.AAAA");
    assert_eq!(foreign.get("/api/v1/users").expect(401).json()["detail"], not_ours(&server));
    assert_eq!(foreign.get("/v2/").expect_error(401, "UNAUTHORIZED").message(), not_ours(&server));
}

fn not_ours(server: &TestStowage) -> String {
    format!("this is not a Stowage token (stw_pat_...): docker login {}", server.address)
}

#[test]
fn a_sign_in_that_ended_is_to_be_made_again() {
    let server = TestStowage::with_sign_in();
    let hanna = add(&server, "hanna", false);
    let login = ask(&hanna, "offline_token=true&scope=repository:a:pull");
    let bearer = with_bearer(&server, login["token"].as_str().unwrap());
    bearer.get("/v2/").expect(200);
    change(&server, "hanna", &json!({ "password": "another harbour and rope" }));
    let again = format!("your sign-in is no longer valid: docker login {}", server.address);
    assert_eq!(bearer.get("/v2/").expect_error(401, "UNAUTHORIZED").message(), again);
    let refresh = login["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&service=stowage&refresh_token={refresh}");
    let refused = server.client().post("/token", form.as_bytes()).expect_error(401, "UNAUTHORIZED");
    assert_eq!(refused.message(), again);
}

#[test]
fn a_personal_token_says_why_it_is_refused() {
    let server = TestStowage::with_sign_in();
    add(&server, "hanna", false);
    let working = secret(&server, "hanna", &["read_registry"]);
    server.client().basic("hanna", &working).get("/v2/").expect(200);
    server.client().basic("Hanna", &working).get("/v2/").expect(200);
    for name in ["admin", "token", ""] {
        for path in ["/v2/", "/token"] {
            let refused = server.client().basic(name, &working).get(path).expect_error(401, "UNAUTHORIZED");
            let expected = format!("this token belongs to hanna: docker login -u hanna {}", server.address);
            assert_eq!(refused.message(), expected, "{name} {path}");
        }
    }
    let wanted = json!({ "user": "hanna", "name": "old", "scopes": ["read_registry"], "lifetime_s": 1 });
    let old = token(&server, &wanted);
    let day = old["expires_at"].as_str().unwrap()[..10].to_owned();
    let old = old["secret"].as_str().unwrap().to_owned();
    crate::support::eventually("the token expires", || {
        server.client().basic("hanna", &old).get("/v2/").status == 401
    });
    for client in [server.client().basic("hanna", &old), with_bearer(&server, &old)] {
        assert_eq!(client.get("/v2/").expect(401).message(), format!("this token expired on {day}"));
    }
    change(&server, "hanna", &json!({ "disabled": true }));
    let refused = server.client().basic("hanna", &working).get("/v2/").expect(401);
    assert_eq!(refused.message(), "the user hanna of this token is disabled");
    // A wrong password proves nothing about the caller, so the message reveals nothing.
    let refused = server.client().basic("hanna", PASSWORD).get("/v2/").expect(401);
    assert_eq!(refused.message(), "the user name or the password is wrong");
}

#[test]
fn who_asked_for_a_right_in_vain_and_may_pull_is_told_what_is_missing() {
    let server = TestStowage::with_sign_in();
    let manifest = push_image(&server.admin(), "team/app", "1", b"layer");
    let hanna = add(&server, "hanna", false);
    let reader = server.client().basic("hanna", &secret(&server, "hanna", &["read_registry"]));
    let denied = "requested access to the resource is denied: ";
    let push = ("POST", "/v2/team/app/blobs/uploads/".to_owned());
    let delete = ("DELETE", format!("/v2/team/app/manifests/{}", sha256(&manifest)));
    for (to, scopes, (method, path), sentence) in [
        (
            &reader,
            "repository:team/app:pull,push",
            &push,
            "this token may pull, but not push: that needs the scope write_registry",
        ),
        (&hanna, "repository:team/app:delete", &delete, "you may pull, but only admins may delete"),
        (
            &hanna,
            "repository:team/app:pull,push+repository:team/app:*",
            &delete,
            "you may pull, but only admins may delete",
        ),
    ] {
        let answer = ask(to, &format!("scope={scopes}"));
        assert!(!answer["scope"].as_str().unwrap().contains("delete"), "{answer}");
        let refused = issued(&server, to, scopes).send(method, path, &[], b"").expect_error(403, "DENIED");
        assert_eq!(refused.message(), format!("{denied}{sentence}"));
    }
    // A token that was requested for something else is answered with a challenge.
    for (to, scopes, (method, path), verb) in [
        (&reader, "repository:team/app:pull", &push, "push"),
        (&hanna, "repository:team/app:pull", &delete, "delete"),
        (&hanna, "repository:another:delete", &delete, "delete"),
    ] {
        let refused =
            issued(&server, to, scopes).send(method, path, &[], b"").expect_error(401, "UNAUTHORIZED");
        let expected = format!("not allowed: sign in with docker login as a user who may {verb}");
        assert_eq!(refused.message(), expected);
    }
    // A caller who may not pull there does not learn that the repository exists.
    let unable = server.client().basic("hanna", &secret(&server, "hanna", &["read_api"]));
    let refused = issued(&server, &unable, "repository:team/app:delete").send(delete.0, &delete.1, &[], b"");
    refused.expect_error(401, "UNAUTHORIZED");
}

#[test]
fn where_anonymous_pulls_are_on_a_plain_request_is_told_where_its_token_is() {
    let mut setup = Setup { open: false, ..Setup::default() };
    setup.config.auth.anonymous_pull = true;
    let server = TestStowage::with(setup);
    push_image(&server.admin(), "team/app", "1", b"layer");
    let plain = server.client().get("/v2/team/app/manifests/1").expect_error(401, "UNAUTHORIZED");
    let realm = format!("http://{}/token", server.address);
    let expected = format!(
        "authentication required: get an anonymous token to pull from {realm}, or sign in: docker login {}",
        server.address
    );
    assert_eq!(plain.message(), expected);
    let anonymous = issued(&server, &server.client(), "repository:team/app:pull,push");
    anonymous.get("/v2/team/app/manifests/1").expect(200);
    let refused = anonymous.post("/v2/team/app/blobs/uploads/", b"").expect_error(403, "DENIED");
    assert!(refused.message().ends_with("to push, sign in with docker login"), "{}", refused.message());
    let server = TestStowage::with_sign_in();
    let plain = server.client().get("/v2/").expect_error(401, "UNAUTHORIZED");
    let expected = format!("authentication required: sign in with docker login {}", server.address);
    assert_eq!(plain.message(), expected);
}

#[test]
fn a_token_is_for_sixteen_things_at_most() {
    let server = TestStowage::with_sign_in();
    let scopes: Vec<String> =
        (0..40).map(|number| format!("scope=repository:r{number:02}:pull,push")).collect();
    // A scope that is requested twice is granted once.
    let query = format!("scope=repository:r00:pull&{}", scopes.join("&"));
    let answer = ask(&server.admin(), &query);
    assert_eq!(answer["scope"].as_str().unwrap().split(' ').count(), MAX_SCOPES);
    let bearer = with_bearer(&server, answer["token"].as_str().unwrap());
    bearer.post("/v2/r15/blobs/uploads/", b"").expect(202);
    bearer.post("/v2/r16/blobs/uploads/", b"").expect_error(401, "UNAUTHORIZED");
}

#[test]
fn a_user_is_found_whatever_the_case_of_the_name() {
    let server = TestStowage::with_sign_in();
    add(&server, "Hanna", false);
    server.client().basic("hanna", PASSWORD).get("/v2/").expect(200);
    server.client().basic("HANNA", PASSWORD).get("/v2/").expect(200);
    assert_eq!(server.admin().get("/api/v1/users/hANNa").expect(200).json()["name"], "Hanna");
    let body = json!({ "name": "hanna", "password": PASSWORD }).to_string();
    let refused = server.admin().send("POST", "/api/v1/users", JSON, body.as_bytes()).expect(409).json();
    assert_eq!(refused["detail"], "there is a user \"Hanna\" already");
    server.admin().delete("/api/v1/users/hanna").expect(204);
    server.client().basic("Hanna", PASSWORD).get("/v2/").expect(401);
}

#[test]
fn a_token_has_a_name_of_its_own_a_state_and_warnings() {
    let server = TestStowage::with_sign_in();
    add(&server, "hanna", false);
    let wanted =
        json!({ "user": "hanna", "name": "ci", "scopes": ["read_registry", "delete_registry", "api"] });
    let made = token(&server, &wanted);
    assert_eq!(
        (&made["id"], &made["state"]),
        (&json!(1), &json!("active")),
        "tokens have numbers of their own"
    );
    let warnings = json!([
        "delete_registry gives nothing: only admins delete, and hanna is not one",
        "api changes nothing: only admins do, and hanna is not one"
    ]);
    assert_eq!(made["warnings"], warnings);
    let again =
        server.admin().send("POST", "/api/v1/tokens", JSON, wanted.to_string().as_bytes()).expect(409);
    assert_eq!(again.json()["code"], "TOKEN_EXISTS");
    let other = json!({ "user": "admin", "name": "ci", "scopes": ["delete_registry"] });
    assert_eq!(token(&server, &other)["warnings"], json!([]));
    for name in ["a\u{1b}[2Jb", "a\nb", "a\u{202e}b", "\u{9b}2J", "a\u{7f}", ""] {
        let wanted = json!({ "user": "admin", "name": name, "scopes": ["api"] }).to_string();
        let refused = server.admin().send("POST", "/api/v1/tokens", JSON, wanted.as_bytes()).expect(400);
        assert_eq!(refused.json()["code"], "TOKEN_NAME_INVALID", "{name:?}");
    }
    change(&server, "hanna", &json!({ "disabled": true }));
    assert_eq!(server.admin().get("/api/v1/tokens/1").expect(200).json()["state"], "user_disabled");
    server.admin().delete("/api/v1/tokens/1").expect(200);
    assert_eq!(token(&server, &wanted)["id"], json!(3), "a number never comes back");
}

#[test]
fn while_the_disk_is_nearly_full_clients_keep_their_password_instead_of_a_refresh_token() {
    let mut setup = Setup { open: false, ..Setup::default() };
    setup.config.storage.min_free = "1000TiB".parse().expect("a size");
    let server = TestStowage::with(setup);
    let login = ask(&server.admin(), "offline_token=true&scope=repository:a:pull");
    assert!(login.get("refresh_token").is_none(), "{login}");
    with_bearer(&server, login["token"].as_str().unwrap()).get("/v2/").expect(200);
}
