//! `/v2/` itself, and what every response has.

use crate::support::content::{open_upload, push_image, sha256};
use crate::support::{Response, TestStowage};

#[test]
fn the_base_is_an_empty_json_object_with_and_without_its_slash() {
    let server = TestStowage::start();
    for path in ["/v2/", "/v2"] {
        let response = server.client().get(path).expect(200);
        assert_eq!(response.body, b"{}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("content-length"), Some("2"));
        let head = server.client().head(path).expect(200);
        assert_eq!(head.header("content-length"), Some("2"));
        assert_eq!(head.header("content-type"), Some("application/json"));
    }
}

/// One request of every kind, with the status of its response.
fn samples(server: &TestStowage) -> Vec<(u16, Response)> {
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    let blob = sha256(b"layer");
    let upload = open_upload(&client, "a");
    let requests = [
        (200, "GET", "/v2/".to_owned()),
        (200, "HEAD", "/v2/".to_owned()),
        (200, "GET", format!("/v2/a/blobs/{blob}")),
        (200, "HEAD", format!("/v2/a/blobs/{blob}")),
        (200, "GET", "/v2/a/manifests/t".to_owned()),
        (200, "HEAD", "/v2/a/manifests/t".to_owned()),
        (200, "GET", "/v2/a/tags/list".to_owned()),
        (200, "HEAD", "/v2/a/tags/list".to_owned()),
        (200, "GET", "/v2/_catalog".to_owned()),
        (200, "GET", format!("/v2/a/referrers/{blob}")),
        (202, "POST", "/v2/a/blobs/uploads/".to_owned()),
        (202, "PATCH", upload.clone()),
        (204, "GET", upload.clone()),
        (201, "PUT", format!("{upload}?digest={}", sha256(b""))),
        (204, "OPTIONS", "/v2/".to_owned()),
        (405, "DELETE", "/v2/".to_owned()),
        (404, "GET", "/v2/b/tags/list".to_owned()),
        (404, "HEAD", "/v2/b/manifests/t".to_owned()),
        (404, "GET", "/v2/unknown".to_owned()),
        (400, "GET", "/v2/B/tags/list".to_owned()),
        (404, "PUT", upload),
        (202, "DELETE", "/v2/a/manifests/t".to_owned()),
    ];
    let send = |(status, method, path): (u16, &str, String)| (status, client.send(method, &path, &[], b""));
    requests.into_iter().map(send).collect()
}

#[test]
fn every_answer_names_the_version_of_the_api() {
    let server = TestStowage::start();
    for (status, response) in samples(&server) {
        let response = response.expect(status);
        assert_eq!(response.header("docker-distribution-api-version"), Some("registry/2.0"), "{response:?}");
    }
    let refused = TestStowage::with_sign_in().client().get("/v2/").expect(401);
    assert_eq!(refused.header("docker-distribution-api-version"), Some("registry/2.0"));
}

#[test]
fn every_answer_says_its_length_and_none_is_chunked() {
    let server = TestStowage::start();
    for (status, response) in samples(&server) {
        assert_eq!(response.header("transfer-encoding"), None, "{response:?}");
        let length = response.header("content-length").map(|length| length.parse::<usize>().unwrap());
        if status == 204 {
            assert!(length.is_none_or(|length| length == 0) && response.body.is_empty(), "{response:?}");
        } else {
            let length = length.unwrap_or_else(|| panic!("no length: {response:?}"));
            assert!(response.body.is_empty() || response.body.len() == length, "{response:?}");
        }
        if matches!(status, 201 | 202) {
            assert_eq!(length, Some(0), "{response:?}");
        }
    }
}

#[test]
fn no_answer_is_compressed() {
    let server = TestStowage::start();
    let client = server.client();
    let layer = vec![b'a'; 20_000];
    push_image(&client, "a", "t", &layer);
    let blob = format!("/v2/a/blobs/{}", sha256(&layer));
    let encodings = ("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");
    for path in [blob.as_str(), "/v2/a/manifests/t", "/v2/a/tags/list", "/v2/_catalog"] {
        let response = client.send("GET", path, &[encodings], b"").expect(200);
        assert_eq!(response.header("content-encoding"), None);
        assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
    }
    let part = client.send("GET", &blob, &[encodings, ("Range", "bytes=0-9")], b"").expect(206);
    assert_eq!(part.header("content-encoding"), None);
    assert_eq!(part.body, b"aaaaaaaaaa");
}

#[test]
fn paths_outside_the_api_are_404_at_once_and_for_good() {
    let server = TestStowage::start();
    for path in ["/v1/search?q=x&n=25", "/v1/_ping", "/", "/v3/", "/v2x/", "/index.html"] {
        let response = server.client().get(path).expect(404);
        assert!(response.json()["errors"][0]["code"].is_string(), "{path}");
        assert_eq!(response.header("location"), None);
    }
}

#[test]
fn unknown_paths_below_the_base_are_404_with_a_json_body() {
    let server = TestStowage::start();
    for path in [
        "/v2/unknown",
        "/v2/a/unknown",
        "/v2/a/tags",
        "/v2/a/tags/list/",
        "/v2/a/manifests",
        "/v2/a/blobs",
        "/v2/a/referrers",
        "/v2/_catalog/",
        "/v2/_oci/ext/discover",
        "/v2/a/_oci/ext/discover",
    ] {
        let response = server.client().get(path).expect(404);
        assert_eq!(response.header("content-type"), Some("application/json"), "{path}");
        assert!(response.json()["errors"][0]["message"].is_string(), "{path}");
    }
}

#[test]
fn locations_are_absolute_paths_without_a_host() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = client.post("/v2/a/b/blobs/uploads/", b"").expect(202).location();
    let id = upload.strip_prefix("/v2/a/b/blobs/uploads/").expect("a path of the repository");
    assert!(!id.is_empty() && !id.contains('/'), "one segment: {id}");
    let digest = sha256(b"x");
    let blob = client.post(&format!("/v2/a/b/blobs/uploads/?digest={digest}"), b"x").expect(201);
    assert_eq!(blob.location(), format!("/v2/a/b/blobs/{digest}"));
}
