//! `PUT /v2/<name>/manifests/<reference>` (end-7a, end-7b): digests, tags, sizes.

use serde_json::json;
use stowage::model::manifest::MAX_MANIFEST_SIZE;
use stowage::model::media_type::{OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};

use crate::support::TestStowage;
use crate::support::content::{
    blake3, descriptor, image, push_blob, push_image, push_manifest, put_manifest, sha256, sha512,
};

const EMPTY_INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

#[test]
fn the_answer_to_a_push_leads_to_the_manifest() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    push_blob(&client, "a", b"layer");
    let manifest = image(&[b"layer"]);
    let digest = sha256(&manifest);
    for reference in ["t", &digest] {
        let created = put_manifest(&client, "a", reference, OCI_MANIFEST, &manifest).expect(201);
        assert_eq!(created.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(created.header("content-length"), Some("0"));
        assert_eq!(created.location(), format!("/v2/a/manifests/{digest}"));
        assert_eq!(created.header("oci-tag"), None);
        assert_eq!(created.header("oci-subject"), None);
        assert_eq!(client.get(&created.location()).expect(200).body, manifest);
    }
}

#[test]
fn a_push_by_a_digest_that_the_body_has_not_stores_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    let body = EMPTY_INDEX.as_bytes();
    for digest in [sha256(b"other"), sha512(b"other"), blake3(b"other")] {
        let refused = put_manifest(&client, "a", &format!("{digest}?tag=t"), OCI_INDEX, body);
        let refused = refused.expect_error(400, "DIGEST_INVALID");
        assert_eq!(refused.json()["errors"][0]["detail"]["expected"], digest);
        client.get(&format!("/v2/a/manifests/{digest}")).expect(404);
        client.get("/v2/a/manifests/t").expect(404);
    }
    client.get(&format!("/v2/a/manifests/{}", sha256(body))).expect(404);
}

#[test]
fn a_manifest_answers_with_the_digest_under_which_it_was_pushed() {
    let server = TestStowage::start();
    let client = server.client();
    let body = EMPTY_INDEX.as_bytes();
    for (tag, digest) in [("s", sha512(body)), ("b", blake3(body)), ("c", sha256(body))] {
        let created = put_manifest(&client, "a", &format!("{digest}?tag={tag}"), OCI_INDEX, body).expect(201);
        assert_eq!(created.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(created.location(), format!("/v2/a/manifests/{digest}"));
        assert_eq!(created.all("oci-tag"), [tag]);
    }
    put_manifest(&client, "a", "plain", OCI_INDEX, body).expect(201);
    for (tag, digest) in
        [("s", sha512(body)), ("b", blake3(body)), ("c", sha256(body)), ("plain", sha256(body))]
    {
        for reference in [tag, &digest] {
            for method in ["GET", "HEAD"] {
                let got = client.send(method, &format!("/v2/a/manifests/{reference}"), &[], b"").expect(200);
                assert_eq!(got.header("docker-content-digest"), Some(digest.as_str()), "{reference}");
                assert_eq!(got.header("content-type"), Some(OCI_INDEX));
            }
        }
    }
}

#[test]
fn a_push_by_digest_sets_all_tags_that_it_names() {
    let server = TestStowage::start();
    let client = server.client();
    let body = EMPTY_INDEX.as_bytes();
    let tags: Vec<String> = (0..10).map(|index| format!("tag-{index}")).collect();
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let reference = format!("{}?{}&tag=tag-3&tag=tag-3", sha256(body), query.join("&"));
    let created = put_manifest(&client, "a", &reference, OCI_INDEX, body).expect(201);
    let mut listed: Vec<&str> =
        created.all("oci-tag").iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    listed.sort_unstable();
    assert_eq!(listed, tags);
    for tag in &tags {
        assert_eq!(client.get(&format!("/v2/a/manifests/{tag}")).expect(200).body, body);
    }
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json()["tags"], json!(tags));
}

#[test]
fn a_push_with_an_invalid_tag_parameter_stores_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    let body = EMPTY_INDEX.as_bytes();
    let digest = sha256(body);
    for query in ["tag=good&tag=-bad", "tag=", "tag=a/b", "tag=good&tag=sha256:00"] {
        put_manifest(&client, "a", &format!("{digest}?{query}"), OCI_INDEX, body)
            .expect_error(400, "TAG_INVALID");
    }
    client.get(&format!("/v2/a/manifests/{digest}")).expect(404);
    client.get("/v2/a/manifests/good").expect(404);
}

#[test]
fn tag_parameters_need_a_push_by_digest() {
    let server = TestStowage::start();
    let client = server.client();
    put_manifest(&client, "a", "t?tag=u", OCI_INDEX, EMPTY_INDEX.as_bytes()).expect_error(400, "TAG_INVALID");
    client.get("/v2/a/manifests/t").expect(404);
    client.get("/v2/a/manifests/u").expect(404);
}

#[test]
fn too_many_tags_are_414() {
    let server = TestStowage::start();
    let client = server.client();
    let body = EMPTY_INDEX.as_bytes();
    let query: Vec<String> = (0..65).map(|index| format!("tag=t{index}")).collect();
    let reference = format!("{}?{}", sha256(body), query.join("&"));
    put_manifest(&client, "a", &reference, OCI_INDEX, body).expect_error(414, "MANIFEST_INVALID");
    client.get(&format!("/v2/a/manifests/{}", sha256(body))).expect(404);
}

/// An image manifest of exactly `size` bytes.
fn of_size(size: usize) -> Vec<u8> {
    let body = |filler: usize| {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_EMPTY, b"{}"), "layers": [],
            "annotations": { "filler": "x".repeat(filler) },
        });
        serde_json::to_vec(&manifest).expect("JSON")
    };
    body(size - body(0).len())
}

#[test]
fn a_manifest_of_4_mib_is_stored_and_one_byte_more_is_413() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    let largest = of_size(MAX_MANIFEST_SIZE);
    assert_eq!(largest.len(), 4_194_304);
    put_manifest(&client, "a", "t", OCI_MANIFEST, &largest).expect(201);
    let got = client.get("/v2/a/manifests/t").expect(200);
    assert!(got.body == largest);
    assert_eq!(got.header("content-length"), Some("4194304"));
    let chunked = client.send_chunked("PUT", "/v2/a/manifests/u", &largest, 65_536);
    chunked.expect(201);
    let larger = of_size(MAX_MANIFEST_SIZE + 1);
    let refused =
        put_manifest(&client, "a", "v", OCI_MANIFEST, &larger).expect_error(413, "MANIFEST_INVALID");
    assert!(refused.message().contains("4194304"), "{}", refused.message());
    client.send_chunked("PUT", "/v2/a/manifests/v", &larger, 65_536).expect_error(413, "MANIFEST_INVALID");
    client.get("/v2/a/manifests/v").expect(404);
}

#[test]
fn a_manifest_that_is_announced_far_too_large_is_413_before_it_is_sent() {
    let server = TestStowage::start();
    let headers = [("Content-Length", "1000000000000"), ("Content-Type", OCI_MANIFEST)];
    server.client().send("PUT", "/v2/a/manifests/t", &headers, b"{").expect_error(413, "MANIFEST_INVALID");
}

#[test]
fn many_and_large_annotations_come_back() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    let annotations: serde_json::Map<String, serde_json::Value> =
        (0..390).map(|index| (format!("annotation-{index}"), json!("v".repeat(10_000)))).collect();
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_EMPTY, b"{}"), "layers": [],
        "annotations": annotations,
    }))
    .unwrap();
    let digest = push_manifest(&client, "a", "t", OCI_MANIFEST, &manifest);
    assert!(client.get(&format!("/v2/a/manifests/{digest}")).expect(200).body == manifest);
    let head = client.head("/v2/a/manifests/t").expect(200);
    assert_eq!(head.header("content-length"), Some(manifest.len().to_string().as_str()));
}

#[test]
fn a_push_that_fails_leaves_the_tag_where_it_was() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    put_manifest(&client, "a", "t", OCI_MANIFEST, b"{").expect_error(400, "MANIFEST_INVALID");
    put_manifest(&client, "a", "t", OCI_MANIFEST, &image(&[b"missing"]))
        .expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, manifest);
    client.get(&format!("/v2/a/manifests/{}", sha256(&image(&[b"missing"])))).expect(404);
    put_manifest(&client, "b", "t", OCI_MANIFEST, b"{").expect_error(400, "MANIFEST_INVALID");
    client.get("/v2/b/tags/list").expect_error(404, "NAME_UNKNOWN");
}
