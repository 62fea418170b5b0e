//! The admin API on the socket and on the public listener.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use stowage::wire::{List, NewUser, Problem, User};

use crate::admin::program::{PASSWORD, Place, over_socket};
use crate::support::Response;

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

#[track_caller]
fn problem(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", String::from_utf8_lossy(&response.body));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let problem: Problem = response.read();
    for text in [&problem.kind, &problem.title, &problem.detail] {
        assert!(!text.is_empty(), "{problem:?}");
    }
    assert_eq!((problem.status, problem.code.as_str()), (status, code));
}

#[test]
fn the_socket_is_for_its_owner_and_group_and_serves_the_admin_api_alone() {
    let place = Place::new();
    let (_server, _) = place.serve_with_admin();
    let socket = place.socket();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let (status, _, body) = over_socket(&socket, "GET", "/api/v1/users", "", "");
    assert_eq!(status, 200, "{body}");
    for path in ["/v2/", "/token", "/", "/api/v1/nothing"] {
        let (status, head, body) = over_socket(&socket, "GET", path, "", "");
        assert_eq!(status, 404, "{path}: {body}");
        assert!(head.contains("application/problem+json"), "{path}: {head}");
    }
    for line in
        ["Origin: http://localhost", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"]
    {
        for path in ["/api/v1/users", "/api/v1/openapi.json", "/"] {
            let (status, head, body) = over_socket(&socket, "GET", path, &format!("{line}\r\n"), "");
            assert_eq!(status, 403, "{line} {path}");
            assert!(head.contains("x-request-id: "), "{line} {path}: {head}");
            assert_eq!(serde_json::from_str::<Problem>(&body).unwrap().code, "BROWSER_REFUSED");
        }
    }
}

#[test]
fn on_the_public_listener_the_api_is_for_admins() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("hanna");
    let anonymous = server.client().get("/api/v1/users");
    assert_eq!(anonymous.header("www-authenticate"), Some("Basic realm=\"Stowage\""));
    problem(&anonymous, 401, "UNAUTHORIZED");
    problem(&server.client().basic("hanna", PASSWORD).get("/api/v1/users"), 403, "DENIED");
    let users: List<User> = admin.get("/api/v1/users").expect(200).read();
    assert_eq!((users.items.len(), users.next_cursor), (2, None));
    let new = NewUser { name: "omar".to_owned(), password: PASSWORD.to_owned(), admin: false };
    let body = json!(new).to_string();
    let made = admin.send("POST", "/api/v1/users", JSON, body.as_bytes()).expect(201);
    assert_eq!(made.header("location"), Some("/api/v1/users/omar"));
    assert_eq!(made.header("cache-control"), Some("no-store"));
    server.client().basic("omar", PASSWORD).get("/v2/").expect(200);
    admin.delete("/api/v1/users/omar").expect(204);
    problem(&admin.delete("/api/v1/users/omar"), 404, "USER_UNKNOWN");
    problem(&admin.delete("/api/v1/users/admin"), 409, "LAST_ADMIN");
    problem(&admin.delete("/api/v1/users"), 405, "METHOD_NOT_ALLOWED");
}

#[test]
fn a_body_that_is_not_what_is_expected_is_refused_without_its_values() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let post =
        |headers: &[(&str, &str)], body: &str| admin.send("POST", "/api/v1/users", headers, body.as_bytes());
    let good = json!({"name": "omar", "password": PASSWORD}).to_string();
    // A page in a browser can send plain text, and the browser would add a stored password.
    problem(&post(&[("Content-Type", "text/plain")], &good), 415, "CONTENT_TYPE");
    problem(&post(&[("Content-Type", "text/json")], &good), 415, "CONTENT_TYPE");
    problem(&post(JSON, "{"), 400, "BODY_INVALID");
    let array = json!(["omar", PASSWORD, true]).to_string();
    problem(&post(JSON, &array), 400, "BODY_INVALID");
    problem(&post(JSON, &" ".repeat(65 << 10)), 413, "BODY_TOO_LARGE");
    let unknown = post(JSON, &json!({"name": "x", "password": PASSWORD, "role": "admin"}).to_string());
    problem(&unknown, 400, "BODY_INVALID");
    assert!(unknown.read::<Problem>().detail.contains("`role`"));
    let wrong = post(JSON, &json!({"name": [PASSWORD], "password": 7, "admin": PASSWORD}).to_string());
    problem(&wrong, 400, "BODY_INVALID");
    assert!(!String::from_utf8_lossy(&wrong.body).contains(PASSWORD));
    let both = json!({"password": PASSWORD, "disabled": true}).to_string();
    problem(&admin.send("PATCH", "/api/v1/users/admin", JSON, both.as_bytes()), 400, "BODY_INVALID");
    problem(&admin.get("/api/v1/tokens/stw_pat_x"), 404, "TOKEN_UNKNOWN");
    // A field may be absent, but null is accepted only where the document says so.
    for nothing in [r#"{"password":null,"disabled":true}"#, r#"{"disabled":null}"#, "null", "[]"] {
        let refused = admin.send("PATCH", "/api/v1/users/admin", JSON, nothing.as_bytes());
        problem(&refused, 400, "BODY_INVALID");
    }
    let unlimited = r#"{"user":"admin","name":"n","scopes":["api"],"lifetime_s":null}"#;
    problem(&admin.send("POST", "/api/v1/tokens", JSON, unlimited.as_bytes()), 400, "BODY_INVALID");
}

#[test]
fn no_secret_is_ever_logged() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let generated = fs::read_to_string(place.data().join("initial-admin-password")).unwrap();
    place.add("hanna");
    place.run_with(&["user", "passwd", "hanna", "--password-stdin"], PASSWORD).expect(0);
    place.run_with(&["user", "add", "x", "--password-stdin"], "canary-5").expect(2);
    let token = ["token", "create", "hanna", "--name", "n", "--scopes", "read_registry"];
    let secret = place.run(&token).expect(0).stdout.trim().to_owned();
    server.client().basic("hanna", &secret).get("/v2/").expect(200);
    server.client().basic("hanna", "canary-6-is-wrong").get("/v2/").expect(401);
    let body = json!({"name": "y", "password": [PASSWORD]}).to_string();
    admin.send("POST", "/api/v1/users", JSON, body.as_bytes()).expect(400);
    let issued = server.client().basic("hanna", PASSWORD).get("/token?offline_token=true").expect(200).json();
    let log = server.stop();
    assert!(log.contains("\"principal\":\"unix:") && log.contains("TRACE"), "everything is logged");
    for canary in [
        generated.trim(),
        PASSWORD,
        "canary-",
        &secret,
        issued["token"].as_str().unwrap(),
        issued["refresh_token"].as_str().unwrap(),
    ] {
        let line = log.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{line:?}");
    }
}

#[test]
fn every_answer_has_its_access_line_and_refused_ones_their_id() {
    let place = Place::new();
    let server = place.serve();
    let client = server.client();
    for (method, path) in [
        ("PUT", "/api/v1/users"),
        ("GET", "/api/v1/users?foo=1"),
        ("GET", "/api/v1/nothing"),
        ("DELETE", "/api/v1/tokens/stw_pat_0123456789abcdefghijklmnop"),
        ("HEAD", "/v2/a/b/manifests/none"),
    ] {
        let answer = client.send(method, path, &[], b"");
        assert!(
            answer.status >= 400 && answer.header("x-request-id").is_some(),
            "{method} {path}: {answer:?}"
        );
    }
    client.basic("otto", "a-wrong-password").get("/token").expect(401);
    server.client().get(&format!("/v2/{}/tags/list", "x".repeat(9_000)));
    let log = server.stop();
    let line = |part: &str| {
        let found = log.lines().find(|line| line.contains("stowage::access") && line.contains(part));
        found.unwrap_or_else(|| panic!("no line with {part} in {log}"))
    };
    for part in [
        "\"method\":\"PUT\",\"uri\":\"/api/v1/users\"",
        "\"uri\":\"/api/v1/users\",\"status\":40",
        "/api/v1/nothing",
    ] {
        line(part);
    }
    assert!(line("\"method\":\"HEAD\"").contains("\"bytes\":0,"));
    assert!(line("/api/v1/tokens/stw_pat_***").contains("DELETE"));
    assert!(!log.contains("0123456789abcdefghijklmnop"), "a secret in a path is logged");
    assert!(line("/v2/xxx").len() < 1_000, "what a stranger sends is cut");
    let failed = log.lines().find(|line| line.contains("a sign-in failed")).expect("it is told");
    assert!(failed.contains("WARN") && failed.contains("otto") && failed.contains("127.0.0.1"), "{failed}");
}
