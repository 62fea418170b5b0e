//! The form of errors, whatever the reason.

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::content::{
    close_upload, image, open_upload, push_blob, push_image, put_manifest, send_chunk, sha256,
};
use crate::support::{Client, Response, Setup, TestStowage};

/// One response for each kind of error.
fn errors(client: &Client) -> Vec<(u16, &'static str, Response)> {
    push_image(client, "a", "t", b"layer");
    let upload = open_upload(client, "a");
    let blob = |content: &[u8]| format!("/v2/a/blobs/{}", sha256(content));
    let range = [("Range", "bytes=99-")];
    let large = vec![b' '; (4 << 20) + 1];
    let gone = open_upload(client, "a");
    client.delete(&gone).expect(204);
    vec![
        (404, "BLOB_UNKNOWN", client.get(&blob(b"x"))),
        (404, "BLOB_UPLOAD_UNKNOWN", client.get(&gone)),
        (405, "DENIED", client.delete(&blob(b"layer"))),
        (412, "DENIED", client.send("GET", "/v2/a/manifests/t", &[("If-Match", "\"x\"")], b"")),
        (400, "DIGEST_INVALID", client.get("/v2/a/blobs/sha256:x")),
        (400, "DIGEST_INVALID", close_upload(client, &open_upload(client, "a"), &sha256(b"y"), b"x")),
        (400, "MANIFEST_BLOB_UNKNOWN", put_manifest(client, "a", "u", OCI_MANIFEST, &image(&[b"x"]))),
        (400, "MANIFEST_INVALID", put_manifest(client, "a", "u", OCI_MANIFEST, b"{")),
        (413, "MANIFEST_INVALID", put_manifest(client, "a", "u", OCI_MANIFEST, &large)),
        (404, "MANIFEST_UNKNOWN", client.get("/v2/a/manifests/x")),
        (400, "NAME_INVALID", client.get("/v2/A/manifests/t")),
        (404, "NAME_UNKNOWN", client.get("/v2/b/tags/list")),
        (404, "NAME_UNKNOWN", client.get("/v2/nowhere")),
        (400, "PAGINATION_NUMBER_INVALID", client.get("/v2/a/tags/list?n=x")),
        (416, "RANGE_INVALID", client.send("GET", &blob(b"layer"), &range, b"")),
        (416, "RANGE_INVALID", send_chunk(client, &upload, 5, b"x")),
        (400, "SIZE_INVALID", client.send("PATCH", &upload, &[("Content-Range", "0-5")], b"x")),
        (400, "TAG_INVALID", client.get("/v2/a/manifests/-t")),
        (405, "UNSUPPORTED", client.post("/v2/a/manifests/t", b"")),
    ]
}

#[test]
fn every_error_is_json_with_a_code_and_a_sentence() {
    let server = TestStowage::start();
    for (status, code, response) in errors(&server.client()) {
        let response = response.expect_error(status, code);
        assert_eq!(response.header("content-type"), Some("application/json"), "{code}");
        assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
        assert!(response.body.len() < 65_536, "crane reads no more");
        for error in response.json()["errors"].as_array().unwrap() {
            let code = error["code"].as_str().unwrap();
            assert!(code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
            let message = error["message"].as_str().unwrap();
            assert!(message.len() > 10 && !message.ends_with('.') && !message.contains('\n'), "{message}");
        }
    }
}

#[test]
fn no_error_tells_a_path_of_the_server_or_a_piece_of_its_code() {
    let server = TestStowage::start();
    let directory = server.directory.display().to_string();
    for (_, _, response) in errors(&server.client()) {
        let body = String::from_utf8(response.body).unwrap();
        for secret in [directory.as_str(), "redb", "src/", ".rs", "panicked", "RegistryError", "Os {"] {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
    }
}

#[test]
fn every_error_has_the_id_under_which_the_log_knows_it() {
    let server = TestStowage::start();
    for (_, code, response) in errors(&server.client()) {
        let id = response.header("x-request-id").unwrap_or_default();
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()), "{code}: {id}");
    }
}

#[test]
fn get_and_head_fail_with_the_same_status() {
    let open = TestStowage::start();
    push_image(&open.client(), "a", "t", b"layer");
    let closed = TestStowage::with_sign_in();
    let upload = open_upload(&open.client(), "a").replace("/a/", "/b/");
    let paths = [
        "/v2/".to_owned(),
        "/v2/_catalog?n=-1".to_owned(),
        "/v2/unknown".to_owned(),
        "/elsewhere".to_owned(),
        "/v2/A/manifests/t".to_owned(),
        "/v2/a/manifests/-".to_owned(),
        "/v2/a/manifests/x".to_owned(),
        "/v2/a/manifests/sha256:x".to_owned(),
        "/v2/b/manifests/t".to_owned(),
        format!("/v2/a/manifests/{}", sha256(b"x")),
        format!("/v2/a/blobs/{}", sha256(b"x")),
        "/v2/a/blobs/x".to_owned(),
        "/v2/a/blobs/md5:00".to_owned(),
        "/v2/b/tags/list".to_owned(),
        "/v2/a/tags/list?n=x".to_owned(),
        "/v2/a/referrers/x".to_owned(),
        "/v2/a/blobs/uploads/".to_owned(),
        upload,
    ];
    for server in [&open, &closed] {
        for path in &paths {
            for headers in [&[][..], &[("If-Match", "\"x\"")], &[("If-None-Match", "*")]] {
                let get = server.client().send("GET", path, headers, b"");
                let head = server.client().send("HEAD", path, headers, b"");
                assert_eq!(get.status, head.status, "{path}");
                assert!(head.body.is_empty());
                // The challenge for a HEAD of a blob asks for a token that can also push.
                let challenge = |response: &Response| {
                    response.header("www-authenticate").map(|text| text.replace("pull,push", "pull"))
                };
                assert_eq!(challenge(&get), challenge(&head));
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_pushes_in_words_that_docker_shows_and_lets_everything_else_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestStowage::in_directory(directory.path());
    let manifest = push_image(&server.client(), "a", "t", b"layer");
    let upload = open_upload(&server.client(), "a");
    server.client().patch(&upload, b"abc").expect(202);
    server.stop();
    let mut setup = Setup { directory: Some(directory.path().to_owned()), ..Setup::default() };
    let min_free = "1000000GiB";
    setup.config.storage.min_free = min_free.parse().unwrap();
    let server = TestStowage::with(setup);
    let client = server.client();
    let why = format!("less than storage.min_free ({min_free}) is left: ");
    for refused in [
        client.post("/v2/a/blobs/uploads/", b""),
        client.post(&format!("/v2/a/blobs/uploads/?digest={}", sha256(b"x")), b"x"),
        client.patch(&upload, b"def"),
        put_manifest(&client, "a", "u", OCI_MANIFEST, &manifest),
    ] {
        let refused = refused.expect_error(507, "DENIED");
        for text in [&refused.reason, &refused.message()] {
            assert!(text.starts_with(&why) && text.contains(" free"), "{text}");
        }
        // Without these words docker would retry the push.
        assert!(refused.reason.contains("(no space left on device)"), "{}", refused.reason);
        assert!(refused.header("retry-after").is_some());
    }
    client.get("/v2/a/manifests/t").expect(200);
    client.get(&format!("/v2/a/blobs/{}", sha256(b"layer"))).expect(200);
    client.get("/v2/_catalog").expect(200);
    client.delete("/v2/a/manifests/t").expect(202);
    client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    client.delete(&format!("/v2/a/blobs/{}", sha256(b"layer"))).expect(202);
    client.delete(&upload).expect(204);
}

#[test]
fn a_digest_that_does_not_match_is_told_with_both() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"keeps the repository");
    let refused = close_upload(&client, &open_upload(&client, "a"), &sha256(b"announced"), b"sent");
    let detail = &refused.expect_error(400, "DIGEST_INVALID").json()["errors"][0]["detail"];
    assert_eq!(
        (detail["expected"].clone(), detail["actual"].clone()),
        (sha256(b"announced").into(), sha256(b"sent").into())
    );
}

#[test]
fn sentences_begin_as_those_of_distribution_where_it_has_one() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"x");
    let digest = sha256(b"another");
    for (path, code, sentence) in [
        ("/v2/b/tags/list".to_owned(), "NAME_UNKNOWN", "repository name not known to registry"),
        ("/v2/a/manifests/1".to_owned(), "MANIFEST_UNKNOWN", "manifest unknown"),
        (format!("/v2/a/manifests/{digest}"), "MANIFEST_UNKNOWN", "manifest unknown"),
        (format!("/v2/a/blobs/{digest}"), "BLOB_UNKNOWN", "blob unknown to registry"),
        (
            "/v2/a/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e".to_owned(),
            "BLOB_UPLOAD_UNKNOWN",
            "blob upload unknown to registry",
        ),
    ] {
        let message = client.get(&path).expect_error(404, code).message();
        assert!(message.starts_with(&format!("{sentence}: ")), "{path}: {message}");
    }
    let server = TestStowage::with_sign_in();
    let message = server.client().get("/v2/").expect_error(401, "UNAUTHORIZED").message();
    assert!(message.starts_with("authentication required: "), "{message}");
}
