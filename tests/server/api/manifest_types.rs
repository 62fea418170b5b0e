//! Media types: the type of a manifest, by its header and by its body (OCI image-spec, "Media Types").

use serde_json::{Value, json};
use stowage::model::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED,
    OCI_ARTIFACT, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST,
};

use crate::support::content::{descriptor, index, push_blob, push_image, push_manifest, put_manifest};
use crate::support::{Client, Response, TestStowage};

/// An image manifest, with or without a type of its own.
fn image_of(media_type: Option<&str>) -> Vec<u8> {
    let mut manifest = json!({ "schemaVersion": 2, "config": descriptor(OCI_CONFIG, b"{}"), "layers": [] });
    if let Some(media_type) = media_type {
        manifest["mediaType"] = json!(media_type);
    }
    serde_json::to_vec(&manifest).expect("JSON")
}

fn index_of(media_type: Option<&str>) -> Vec<u8> {
    let mut index = json!({ "schemaVersion": 2, "manifests": [] });
    if let Some(media_type) = media_type {
        index["mediaType"] = json!(media_type);
    }
    serde_json::to_vec(&index).expect("JSON")
}

/// Pushes a body with a header or without one.
fn push(client: &Client, content_type: Option<&str>, body: &[u8]) -> Response {
    let headers: Vec<_> = content_type.map(|value| ("Content-Type", value)).into_iter().collect();
    client.send("PUT", "/v2/a/manifests/t", &headers, body)
}

fn stored_type(client: &Client) -> String {
    client.head("/v2/a/manifests/t").expect(200).header("content-type").expect("a type").to_owned()
}

#[test]
fn the_type_is_that_of_the_header_or_of_the_body_or_of_the_content() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    for media_type in [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST] {
        let is_index = matches!(media_type, OCI_INDEX | DOCKER_LIST);
        let body = |typed: Option<&str>| if is_index { index_of(typed) } else { image_of(typed) };
        let mut cases = vec![(Some(media_type), None), (Some(media_type), Some(media_type))];
        for says_nothing in ["application/json", "application/octet-stream", "text/plain", ""] {
            cases.push((Some(says_nothing), Some(media_type)));
        }
        cases.push((None, Some(media_type)));
        for (header, typed) in cases {
            push(&client, header, &body(typed)).expect(201);
            assert_eq!(stored_type(&client), media_type, "{header:?} {typed:?}");
        }
    }
    for header in [None, Some("application/json"), Some("text/plain; charset=utf-8")] {
        push(&client, header, &image_of(None)).expect(201);
        assert_eq!(stored_type(&client), OCI_MANIFEST);
        push(&client, header, &index_of(None)).expect(201);
        assert_eq!(stored_type(&client), OCI_INDEX);
    }
}

#[test]
fn parameters_of_the_content_type_are_stripped() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    for suffix in ["; charset=utf-8", ";charset=utf-8;x=y", " ; a=\"b;c\"", ";"] {
        push(&client, Some(&format!("{OCI_MANIFEST}{suffix}")), &image_of(Some(OCI_MANIFEST))).expect(201);
        assert_eq!(stored_type(&client), OCI_MANIFEST, "{suffix}");
    }
}

#[test]
fn a_header_and_a_body_that_contradict_each_other_are_refused() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    for (header, body) in [
        (OCI_MANIFEST, image_of(Some(DOCKER_MANIFEST))),
        (DOCKER_MANIFEST, image_of(Some(OCI_MANIFEST))),
        (OCI_INDEX, index_of(Some(DOCKER_LIST))),
        (OCI_MANIFEST, index_of(Some(OCI_INDEX))),
    ] {
        let refused = push(&client, Some(header), &body).expect_error(400, "MANIFEST_INVALID");
        assert!(refused.message().contains("Content-Type"), "{}", refused.message());
    }
}

#[test]
fn docker_schema_1_is_refused_with_what_to_do() {
    let server = TestStowage::start();
    let client = server.client();
    let schema1 = json!({
        "schemaVersion": 1, "name": "a", "tag": "t", "architecture": "amd64", "fsLayers": [], "history": [], "signatures": [],
    });
    let without_version = json!({ "fsLayers": [], "signatures": [] });
    for (header, body) in [
        (Some(DOCKER_SCHEMA1), &schema1),
        (Some(DOCKER_SCHEMA1_SIGNED), &schema1),
        (Some("application/json"), &schema1),
        (None, &schema1),
        (None, &without_version),
        (Some(OCI_MANIFEST), &schema1),
    ] {
        let body = serde_json::to_vec(body).unwrap();
        let refused = push(&client, header, &body).expect_error(400, "MANIFEST_INVALID");
        let message = refused.message();
        assert!(message.contains("schema 1") && message.contains("push the image again"), "{message}");
    }
}

#[test]
fn types_that_are_no_manifests_are_refused_with_those_that_are() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    for media_type in ["application/vnd.example+json", OCI_CONFIG, "image/png", "x"] {
        for (header, body) in [(Some(media_type), image_of(None)), (None, image_of(Some(media_type)))] {
            let refused = push(&client, header, &body).expect_error(400, "MANIFEST_INVALID");
            assert!(refused.message().contains(OCI_MANIFEST), "{}", refused.message());
        }
    }
    let refused = push(&client, Some(OCI_ARTIFACT), &image_of(Some(OCI_ARTIFACT)));
    let message = refused.expect_error(400, "MANIFEST_INVALID").message();
    assert!(message.contains("artifactType"), "{message}");
}

#[test]
fn any_type_of_config_layer_and_artifact_is_stored() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    push_blob(&client, "a", b"layer");
    for media_type in [
        "application/vnd.docker.plugin.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.buildkit.cacheconfig.v0",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.in-toto+json",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/tar+gzip",
        "application/x.never.heard+of",
        "text/plain; charset=utf-8",
        "anything",
    ] {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": media_type,
            "config": descriptor(media_type, b"{}"), "layers": [descriptor(media_type, b"layer")],
        });
        push(&client, Some(OCI_MANIFEST), &serde_json::to_vec(&manifest).unwrap()).expect(201);
    }
}

#[test]
fn docker_images_and_lists_are_stored() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    push_blob(&client, "a", b"layer");
    let image = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": descriptor(DOCKER_CONFIG, b"{}"), "layers": [descriptor(DOCKER_LAYER_GZIP, b"layer")],
    }))
    .unwrap();
    let digest = push_manifest(&client, "a", "image", DOCKER_MANIFEST, &image);
    let list = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": DOCKER_LIST,
        "manifests": [{ "mediaType": DOCKER_MANIFEST, "digest": digest, "size": image.len(),
                        "platform": { "os": "linux", "architecture": "amd64" } }],
    }))
    .unwrap();
    push_manifest(&client, "a", "list", DOCKER_LIST, &list);
    assert_eq!(client.get("/v2/a/manifests/list").expect(200).body, list);
}

#[test]
fn a_build_cache_in_the_form_of_an_index_is_stored() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"cache config");
    push_blob(&client, "a", b"layer");
    let entries: Vec<Value> = vec![
        descriptor(DOCKER_LAYER_GZIP, b"layer"),
        descriptor("application/vnd.buildkit.cacheconfig.v0", b"cache config"),
    ];
    for media_type in [OCI_INDEX, DOCKER_LIST] {
        let cache = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        let cache = serde_json::to_vec(&cache).unwrap();
        put_manifest(&client, "a", "cache", media_type, &cache).expect(201);
        assert_eq!(client.get("/v2/a/manifests/cache").expect(200).body, cache);
    }
    let missing =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor("x/y", b"missing")] });
    let missing = serde_json::to_vec(&missing).unwrap();
    put_manifest(&client, "a", "u", OCI_INDEX, &missing).expect_error(400, "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn an_index_with_attestations_is_stored() {
    let server = TestStowage::start();
    let client = server.client();
    let image = push_image(&client, "a", "image", b"layer");
    let attestation = push_image(&client, "a", "attestation", b"statement");
    let mut index: Value = serde_json::from_slice(&index(&[&image, &attestation])).unwrap();
    index["manifests"][1]["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    index["manifests"][1]["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    put_manifest(&client, "a", "t", OCI_INDEX, &serde_json::to_vec(&index).unwrap()).expect(201);
}
