//! Methods that a path does not support, and `OPTIONS`.

use crate::support::TestStowage;
use crate::support::content::{push_image, sha256};

/// Every shape of path with its methods.
fn shapes() -> Vec<(String, &'static str)> {
    let digest = sha256(b"layer");
    vec![
        ("/v2/".to_owned(), "GET, HEAD, OPTIONS"),
        ("/v2".to_owned(), "GET, HEAD, OPTIONS"),
        ("/v2/_catalog".to_owned(), "GET, HEAD, OPTIONS"),
        ("/v2/a/tags/list".to_owned(), "GET, HEAD, OPTIONS"),
        (format!("/v2/a/referrers/{digest}"), "GET, HEAD, OPTIONS"),
        (format!("/v2/a/blobs/{digest}"), "GET, HEAD, DELETE, OPTIONS"),
        ("/v2/a/blobs/uploads/".to_owned(), "POST, OPTIONS"),
        ("/v2/a/blobs/uploads".to_owned(), "POST, OPTIONS"),
        (
            "/v2/a/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e".to_owned(),
            "GET, HEAD, PATCH, PUT, DELETE, OPTIONS",
        ),
        ("/v2/a/manifests/t".to_owned(), "GET, HEAD, PUT, DELETE, OPTIONS"),
        (format!("/v2/a/manifests/{digest}"), "GET, HEAD, PUT, DELETE, OPTIONS"),
    ]
}

#[test]
fn options_of_a_known_path_tells_its_methods() {
    for server in [TestStowage::start(), TestStowage::with_sign_in()] {
        for (path, allow) in shapes() {
            let response = server.client().send("OPTIONS", &path, &[], b"").expect(204);
            assert_eq!(response.all("allow"), [allow], "{path}");
            assert!(response.body.is_empty());
        }
        server.client().send("OPTIONS", "/v2/unknown", &[], b"").expect(404);
    }
}

#[test]
fn a_method_that_a_path_does_not_know_is_405_with_those_that_it_knows() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    for (path, allow) in shapes() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "get", "PROPFIND"] {
            if allow.split(", ").any(|known| known == method) {
                continue;
            }
            let refused = client.send(method, &path, &[], b"").expect_error(405, "UNSUPPORTED");
            assert_eq!(refused.all("allow"), [allow], "{method} {path}");
        }
    }
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, manifest);
}

#[test]
fn a_method_that_the_token_endpoint_does_not_know_is_refused_like_every_other() {
    let server = TestStowage::with_sign_in();
    for (path, allow) in [("/token", "GET, POST"), ("/jwt/auth", "GET, POST"), ("/v2/_stowage/keys", "GET")] {
        for method in ["PUT", "PATCH", "DELETE", "get", "BREW"] {
            let refused = server.client().send(method, path, &[], b"").expect_error(405, "UNSUPPORTED");
            assert_eq!(refused.all("allow"), [allow], "{method} {path}");
        }
    }
}

#[test]
fn every_method_that_options_tells_is_known() {
    let server = TestStowage::start();
    for (path, allow) in shapes() {
        for method in allow.split(", ") {
            assert_ne!(server.client().send(method, &path, &[], b"").status, 405, "{method} {path}");
        }
    }
}
