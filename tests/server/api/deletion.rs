//! Deleting tags, manifests and blobs (end-9, end-10).

use serde_json::json;
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};

use crate::support::TestStowage;
use crate::support::content::{index, push_blob, push_image, push_manifest, put_manifest, sha256, sha512};

#[test]
fn a_deleted_tag_leaves_its_manifest_and_the_other_tags() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    push_manifest(&client, "a", "u", OCI_MANIFEST, &manifest);
    let deleted = client.delete("/v2/a/manifests/t").expect(202);
    assert_eq!(deleted.header("content-length"), Some("0"));
    client.head("/v2/a/manifests/t").expect(404);
    client.get("/v2/a/manifests/t").expect_error(404, "MANIFEST_UNKNOWN");
    client.get("/v2/a/manifests/u").expect(200);
    client.get(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(200);
    client.delete("/v2/a/manifests/t").expect_error(404, "MANIFEST_UNKNOWN");
    client.delete("/v2/a/manifests/u").expect(202);
    client.get(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(200);
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json()["tags"], json!([]));
    push_manifest(&client, "a", "t", OCI_MANIFEST, &manifest);
}

#[test]
fn a_deleted_manifest_takes_all_its_tags_with_it_at_once() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    let digest = sha256(&manifest);
    for tag in ["u", "v", "w"] {
        push_manifest(&client, "a", tag, OCI_MANIFEST, &manifest);
    }
    push_image(&client, "a", "other", b"another layer");
    push_image(&client, "a", "w", b"moved");
    let deleted = client.delete(&format!("/v2/a/manifests/{digest}")).expect(202);
    assert_eq!(deleted.header("content-length"), Some("0"));
    for reference in ["t", "u", "v", &digest] {
        client.head(&format!("/v2/a/manifests/{reference}")).expect(404);
        client.delete(&format!("/v2/a/manifests/{reference}")).expect_error(404, "MANIFEST_UNKNOWN");
    }
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json()["tags"], json!(["other", "w"]));
}

#[test]
fn a_manifest_with_two_digests_is_deleted_under_one() {
    let server = TestStowage::start();
    let client = server.client();
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    put_manifest(&client, "a", &format!("{}?tag=short", sha256(body)), OCI_INDEX, body).expect(201);
    put_manifest(&client, "a", &format!("{}?tag=long", sha512(body)), OCI_INDEX, body).expect(201);
    client.delete(&format!("/v2/a/manifests/{}", sha256(body))).expect(202);
    client.get("/v2/a/manifests/short").expect(404);
    client.get("/v2/a/manifests/long").expect(200);
    client.get(&format!("/v2/a/manifests/{}", sha512(body))).expect(200);
}

#[test]
fn a_manifest_that_an_index_lists_may_be_deleted() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    push_manifest(&client, "a", "index", OCI_INDEX, &index(&[&manifest]));
    client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    client.get("/v2/a/manifests/index").expect(200);
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    let digest = sha256(b"never pushed");
    client.delete("/v2/a/manifests/unknown").expect_error(404, "MANIFEST_UNKNOWN");
    client.delete(&format!("/v2/a/manifests/{digest}")).expect_error(404, "MANIFEST_UNKNOWN");
    client.delete(&format!("/v2/a/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    client.delete("/v2/unknown/manifests/t").expect_error(404, "NAME_UNKNOWN");
    client.delete(&format!("/v2/unknown/manifests/{digest}")).expect_error(404, "NAME_UNKNOWN");
    client.delete(&format!("/v2/unknown/blobs/{digest}")).expect_error(404, "NAME_UNKNOWN");
}

#[test]
fn a_deleted_blob_is_gone_from_its_repository_only() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "a", b"blob");
    push_blob(&client, "b", b"blob");
    push_blob(&client, "a", b"another");
    let deleted = client.delete(&format!("/v2/a/blobs/{digest}")).expect(202);
    assert_eq!(deleted.header("content-length"), Some("0"));
    client.head(&format!("/v2/a/blobs/{digest}")).expect(404);
    client.get(&format!("/v2/a/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    client.delete(&format!("/v2/a/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    assert_eq!(client.get(&format!("/v2/b/blobs/{digest}")).expect(200).body, b"blob");
    push_blob(&client, "a", b"blob");
    assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).expect(200).body, b"blob");
}

#[test]
fn a_blob_that_a_manifest_refers_to_is_not_deleted() {
    let server = TestStowage::start();
    let client = server.client();
    let first = push_image(&client, "a", "t", b"layer");
    let second = push_image(&client, "a", "t", b"another layer");
    push_image(&client, "b", "t", b"layer");
    for (content, manifest) in [(&b"layer"[..], &first), (b"another layer", &second)] {
        let blob = format!("/v2/a/blobs/{}", sha256(content));
        for content in [content, b"{}"] {
            let path = format!("/v2/a/blobs/{}", sha256(content));
            client.delete(&path).expect_error(405, "DENIED");
        }
        client.delete(&format!("/v2/a/manifests/{}", sha256(manifest))).expect(202);
        client.delete(&blob).expect(202);
    }
    client.delete(&format!("/v2/a/blobs/{}", sha256(b"{}"))).expect(202);
    client.get(&format!("/v2/b/blobs/{}", sha256(b"layer"))).expect(200);
}

#[test]
fn a_repository_from_which_everything_was_deleted_is_unknown() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json()["tags"], json!([]));
    for content in [&b"{}"[..], b"layer"] {
        client.delete(&format!("/v2/a/blobs/{}", sha256(content))).expect(202);
    }
    client.get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
    push_image(&client, "a", "t", b"layer");
    client.get("/v2/a/manifests/t").expect(200);
}

#[test]
fn a_deletion_ignores_a_body() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    client.send("DELETE", "/v2/a/manifests/t", &[("Content-Length", "2")], b"{}").expect(202);
}
