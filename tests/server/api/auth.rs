//! Authentication on the registry's API.

use std::path::Path;

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::content::{
    close_upload, image, open_upload, push_blob, push_image, put_manifest, send_chunk, sha256,
};
use crate::support::{Client, Response, Setup, TestStowage};

/// Asserts that a response has the challenge, in the form that clients parse.
#[track_caller]
fn challenged(response: Response) -> Response {
    let response = response.expect(401);
    let challenges = response.all("www-authenticate");
    assert_eq!(challenges.len(), 1, "exactly one challenge");
    let (realm, rest) = challenges[0].split_once("/token\"").expect("a realm");
    assert!(realm.starts_with("Bearer realm=\"http://127.0.0.1:"), "{realm}");
    assert!(rest.starts_with(",service=\"stowage\""), "{rest}");
    response
}

/// A path of every shape.
fn paths() -> Vec<String> {
    let digest = sha256(b"x");
    vec![
        "/v2/".to_owned(),
        "/v2".to_owned(),
        "/v2/_catalog".to_owned(),
        format!("/v2/a/blobs/{digest}"),
        "/v2/a/blobs/uploads/".to_owned(),
        format!("/v2/a/blobs/uploads/?digest={digest}"),
        format!("/v2/a/blobs/uploads/?mount={digest}&from=b"),
        format!("/v2/a/blobs/uploads/?mount={digest}"),
        "/v2/a/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e".to_owned(),
        "/v2/a/manifests/t".to_owned(),
        format!("/v2/a/manifests/{digest}"),
        "/v2/a/tags/list".to_owned(),
        format!("/v2/a/referrers/{digest}"),
    ]
}

#[test]
fn every_route_refuses_who_does_not_sign_in() {
    let server = TestStowage::with_sign_in();
    let client = server.client();
    for path in paths() {
        let allowed =
            client.send("OPTIONS", &path, &[], b"").expect(204).header("allow").expect("methods").to_owned();
        for method in allowed.split(", ").filter(|method| *method != "OPTIONS") {
            let refused = challenged(client.send(method, &path, &[], b""));
            if method == "HEAD" {
                assert!(refused.body.is_empty());
            } else {
                assert_eq!(refused.code(), "UNAUTHORIZED", "{method} {path}");
            }
        }
    }
}

#[test]
fn whoever_signs_in_enters() {
    let server = TestStowage::with_sign_in();
    let admin = server.admin();
    assert_eq!(admin.get("/v2/").expect(200).body, b"{}");
    let manifest = push_image(&admin, "a", "t", b"layer");
    assert_eq!(admin.get("/v2/a/manifests/t").expect(200).body, manifest);
    admin.get("/v2/_catalog").expect(200);
    admin.get("/v2/a/tags/list").expect(200);
    admin.get(&format!("/v2/a/referrers/{}", sha256(&manifest))).expect(200);
    let digest = sha256(b"layer");
    admin.post(&format!("/v2/b/blobs/uploads/?mount={digest}&from=a"), b"").expect(201);
    admin.post(&format!("/v2/c/blobs/uploads/?mount={digest}"), b"").expect(201);
    let upload = open_upload(&admin, "a");
    send_chunk(&admin, &upload, 0, b"chunk").expect(202);
    admin.get(&upload).expect(204);
    close_upload(&admin, &upload, &sha256(b"chunk"), b"").expect(201);
    admin.delete(&open_upload(&admin, "a")).expect(204);
    admin.delete("/v2/a/manifests/t").expect(202);
    admin.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    admin.delete(&format!("/v2/a/blobs/{digest}")).expect(202);
}

#[test]
fn wrong_credentials_of_every_kind_are_401() {
    let server = TestStowage::with_sign_in();
    let password = server.password.clone().unwrap();
    let client = server.client();
    // A correct sign-in first: the cache of credentials must not accept wrong ones.
    server.admin().get("/v2/").expect(200);
    for (user, password) in [
        ("admin", ""),
        ("admin", "wrong"),
        ("admin", &password[1..]),
        ("admin", &format!("{password} ")),
        ("admin", &password.to_uppercase()),
        ("absent", &password),
        ("Admin ", &password),
        ("", &password),
        ("", ""),
    ] {
        let refused = challenged(client.clone().basic(user, password).get("/v2/"));
        assert_eq!(refused.code(), "UNAUTHORIZED", "{user}");
        challenged(client.clone().basic(user, password).head("/v2/"));
    }
}

#[test]
fn authorization_headers_of_other_forms_are_401() {
    let server = TestStowage::with_sign_in();
    for header in [
        "",
        "Basic",
        "Basic ",
        "Basic ***",
        "Basic YWRtaW4=",
        "Bearer x",
        "Bearer",
        "Digest username=\"admin\"",
        "x",
    ] {
        let refused = challenged(server.client().authorization(header).get("/v2/"));
        assert_eq!(refused.code(), "UNAUTHORIZED", "{header:?}");
    }
    let huge = format!("Basic {}", "A".repeat(20_000));
    challenged(server.client().authorization(&huge).get("/v2/"));
    let twice = [("Authorization", "Basic YWRtaW46eA==")];
    challenged(server.admin().send("GET", "/v2/", &twice, b""));
}

#[test]
fn the_scheme_may_be_written_in_any_case() {
    let server = TestStowage::with_sign_in();
    let head = server.admin().head_of("GET", "/v2/", &[]);
    let header = head.lines().find_map(|line| line.strip_prefix("Authorization: Basic ")).unwrap();
    for scheme in ["basic", "BASIC", "bAsIc"] {
        server.client().authorization(&format!("{scheme} {header}")).get("/v2/").expect(200);
    }
}

#[test]
fn what_is_there_and_what_is_not_look_the_same_from_outside() {
    let server = TestStowage::with_sign_in();
    let manifest = push_image(&server.admin(), "a", "t", b"layer");
    let stranger = server.client().basic("stranger", "guess");
    for client in [server.client(), stranger] {
        for (there, not_there) in [
            ("/v2/a/manifests/t".to_owned(), "/v2/b/manifests/t".to_owned()),
            ("/v2/a/tags/list".to_owned(), "/v2/b/tags/list".to_owned()),
            (format!("/v2/a/manifests/{}", sha256(&manifest)), format!("/v2/a/manifests/{}", sha256(b"x"))),
            (format!("/v2/a/blobs/{}", sha256(b"layer")), format!("/v2/a/blobs/{}", sha256(b"x"))),
        ] {
            let (there, not_there) = (challenged(client.get(&there)), challenged(client.get(&not_there)));
            assert_eq!(there.body, not_there.body);
        }
    }
}

#[test]
fn whoever_is_refused_changes_nothing() {
    let server = TestStowage::with_sign_in();
    let (admin, stranger) = (server.admin(), server.client());
    let manifest = push_image(&admin, "a", "t", b"layer");
    let upload = open_upload(&admin, "a");
    admin.patch(&upload, b"abc").expect(202);
    let paths = [
        ("DELETE", "/v2/a/manifests/t".to_owned()),
        ("DELETE", format!("/v2/a/manifests/{}", sha256(&manifest))),
        ("DELETE", format!("/v2/a/blobs/{}", sha256(b"layer"))),
        ("DELETE", upload.clone()),
        ("PATCH", upload.clone()),
        ("PUT", format!("{upload}?digest={}", sha256(b"abc"))),
        ("POST", format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x"))),
        ("POST", "/v2/new/blobs/uploads/".to_owned()),
    ];
    for (method, path) in paths {
        challenged(stranger.send(method, &path, &[], b"x"));
    }
    challenged(put_manifest(&stranger, "a", "u", OCI_MANIFEST, &image(&[b"layer"])));
    assert_eq!(admin.get("/v2/a/manifests/t").expect(200).body, manifest);
    admin.get("/v2/a/manifests/u").expect(404);
    admin.get(&format!("/v2/a/blobs/{}", sha256(b"layer"))).expect(200);
    admin.get(&format!("/v2/a/blobs/{}", sha256(b"x"))).expect(404);
    admin.get("/v2/new/tags/list").expect_error(404, "NAME_UNKNOWN");
    assert_eq!(admin.get(&upload).expect(204).header("range"), Some("0-2"));
}

#[test]
fn a_large_body_that_is_refused_is_answered_before_it_ends() {
    let server = TestStowage::with_sign_in();
    let body = vec![0; 30_000_000];
    for method in ["PATCH", "PUT", "POST"] {
        let path = match method {
            "POST" => format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x")),
            _ => "/v2/a/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e".to_owned(),
        };
        challenged(server.client().send(method, &path, &[], &body));
        challenged(server.client().send_chunked(method, &path, &body, 65_536));
    }
}

#[test]
fn an_open_registry_asks_nobody_to_sign_in() {
    let server = TestStowage::start();
    server.client().get("/v2/").expect(200);
    server.client().basic("any-name", "anything").get("/v2/").expect(200);
    server.client().authorization("nonsense").get("/v2/").expect(200);
    let manifest = push_image(&server.client(), "a", "t", b"layer");
    server.client().delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
}

fn in_directory(directory: &Path, open: bool) -> TestStowage {
    TestStowage::with(Setup { directory: Some(directory.to_owned()), open, ..Setup::default() })
}

#[test]
fn the_first_admin_stays_the_same_when_the_server_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = in_directory(directory.path(), false);
    let password = server.password.clone().unwrap();
    server.stop();
    let again = in_directory(directory.path(), false);
    assert_eq!(again.password, None);
    again.client().basic("admin", &password).get("/v2/").expect(200);
    challenged(again.client().basic("admin", "wrong").get("/v2/"));
}

#[test]
fn an_upload_of_another_user_is_404_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let server = in_directory(directory.path(), false);
    let password = server.password.clone().unwrap();
    let upload = open_upload(&server.admin(), "a");
    server.admin().patch(&upload, b"abc").expect(202);
    server.stop();
    // In an open registry every caller is anonymous, and so not the owner.
    let open = in_directory(directory.path(), true);
    let other: Client = open.client().basic("admin", &password);
    other.get(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    other.patch(&upload, b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    send_chunk(&other, &upload, 3, b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    close_upload(&other, &upload, &sha256(b"abc"), b"").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    other.delete(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    open.stop();
    let again = in_directory(directory.path(), false);
    let owner = again.client().basic("admin", &password);
    assert_eq!(owner.get(&upload).expect(204).header("range"), Some("0-2"));
    close_upload(&owner, &upload, &sha256(b"abc"), b"").expect(201);
    push_blob(&owner, "a", b"abc");
}
