//! Responses to requests without a valid credential.

use crate::support::TestStowage;
use crate::support::content::sha256;

fn challenge(response: &crate::support::Response) -> String {
    assert_eq!(response.all("www-authenticate").len(), 1, "exactly one challenge");
    response.header("www-authenticate").expect("a challenge").to_owned()
}

#[test]
fn the_base_answers_401_with_a_bearer_challenge_without_a_scope() {
    let server = TestStowage::with_sign_in();
    let response = server.client().get("/v2/").expect_error(401, "UNAUTHORIZED");
    let expected = format!("Bearer realm=\"http://{}/token\",service=\"stowage\"", server.address);
    assert_eq!(challenge(&response), expected);
}

#[test]
fn each_path_asks_for_the_scope_that_it_needs() {
    let server = TestStowage::with_sign_in();
    let digest = sha256(b"x");
    for (method, path, scope) in [
        ("GET", "/v2/a/b/manifests/latest".to_owned(), "repository:a/b:pull"),
        ("GET", format!("/v2/a/b/blobs/{digest}"), "repository:a/b:pull"),
        ("HEAD", format!("/v2/a/b/blobs/{digest}"), "repository:a/b:pull,push"),
        ("GET", "/v2/a/b/tags/list".to_owned(), "repository:a/b:pull"),
        ("GET", format!("/v2/a/b/referrers/{digest}"), "repository:a/b:pull"),
        ("POST", "/v2/a/b/blobs/uploads/".to_owned(), "repository:a/b:pull,push"),
        ("PUT", "/v2/a/b/manifests/latest".to_owned(), "repository:a/b:pull,push"),
        ("DELETE", "/v2/a/b/manifests/latest".to_owned(), "repository:a/b:delete"),
        ("DELETE", format!("/v2/a/b/blobs/{digest}"), "repository:a/b:delete"),
        ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*"),
        (
            "POST",
            format!("/v2/a/b/blobs/uploads/?mount={digest}&from=c/d"),
            "repository:a/b:pull,push repository:c/d:pull",
        ),
    ] {
        let response = server.client().send(method, &path, &[], b"").expect(401);
        assert!(
            challenge(&response).contains(&format!("scope=\"{scope}\"")),
            "{method} {path}: {response:?}"
        );
    }
}

#[test]
fn what_exists_and_what_does_not_are_challenged_alike() {
    let server = TestStowage::with_sign_in();
    crate::support::content::push_image(&server.admin(), "secret/app", "1", b"layer");
    let there = server.client().get("/v2/secret/app/manifests/1").expect(401);
    let absent = server.client().get("/v2/absent/app/manifests/1").expect(401);
    let normal = |response: &crate::support::Response| {
        challenge(response).replace("secret/app", "X").replace("absent/app", "X")
    };
    assert_eq!(normal(&there), normal(&absent));
    assert_eq!(there.body, absent.body);
}

#[test]
fn an_unknown_scheme_and_two_headers_are_401() {
    let server = TestStowage::with_sign_in();
    server.client().authorization("Digest x").get("/v2/").expect_error(401, "UNAUTHORIZED");
    let twice = [("Authorization", "Basic eDp5"), ("Authorization", "Basic eDp5")];
    server.client().send("GET", "/v2/", &twice, b"").expect_error(401, "UNAUTHORIZED");
}

#[test]
fn a_token_that_is_not_ours_is_invalid() {
    let server = TestStowage::with_sign_in();
    for token in ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        let response = server
            .client()
            .authorization(&format!("Bearer {token}"))
            .get("/v2/")
            .expect_error(401, "UNAUTHORIZED");
        assert!(challenge(&response).ends_with("error=\"invalid_token\""), "{response:?}");
    }
}
