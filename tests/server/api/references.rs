//! The references of a manifest: existing, missing, in another repository, or not required.

use serde_json::{Value, json};
use stowage::model::media_type::{
    DOCKER_FOREIGN_LAYER, DOCKER_MANIFEST, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_MANIFEST, OCI_NONDISTRIBUTABLE, OCI_NONDISTRIBUTABLE_GZIP, OCI_NONDISTRIBUTABLE_ZSTD,
};

use crate::support::content::{
    bytes, descriptor, image, index, push_blob, push_image, push_manifest, put_manifest, sha256, sha512,
};
use crate::support::{Client, Response, Setup, TestStowage};

/// The digest in every error of a response, with the repository that the error names.
fn missing(response: &Response) -> Vec<(String, Option<String>)> {
    let errors = response.json()["errors"].as_array().expect("errors").clone();
    let entry = |error: &Value| {
        assert_eq!(error["code"], "MANIFEST_BLOB_UNKNOWN");
        let digest = error["detail"]["digest"].as_str().expect("a digest").to_owned();
        let from = error["detail"]["from"].as_str().map(str::to_owned);
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(&digest), "{message}");
        assert!(from.as_ref().is_none_or(|from| message.contains(from)), "{message}");
        (digest, from)
    };
    errors.iter().map(entry).collect()
}

#[test]
fn every_missing_reference_is_named_with_a_repository_that_has_it() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"here");
    push_blob(&client, "other/repo", b"there");
    let manifest = image(&[b"here", b"there", b"nowhere", b"nowhere"]);
    let refused = put_manifest(&client, "a", "t", OCI_MANIFEST, &manifest).expect(400);
    assert_eq!(
        missing(&refused),
        [
            (sha256(b"{}"), None),
            (sha256(b"there"), Some("other/repo".to_owned())),
            (sha256(b"nowhere"), None),
        ]
    );
    client.get("/v2/a/manifests/t").expect(404);
    client.get(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(404);
}

#[test]
fn every_missing_child_of_an_index_is_named() {
    let server = TestStowage::start();
    let client = server.client();
    let there = push_image(&client, "a", "t", b"layer");
    let elsewhere = push_image(&client, "b", "t", b"another layer");
    let refused =
        put_manifest(&client, "a", "i", OCI_INDEX, &index(&[&there, &elsewhere, b"nowhere"])).expect(400);
    let missing: Vec<String> = missing(&refused).into_iter().map(|(digest, _)| digest).collect();
    assert_eq!(missing, [sha256(&elsewhere), sha256(b"nowhere")]);
}

#[test]
fn what_was_deleted_is_missing() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    let children = index(&[&manifest]);
    client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    put_manifest(&client, "a", "i", OCI_INDEX, &children).expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    client.delete(&format!("/v2/a/blobs/{}", sha256(b"layer"))).expect(202);
    put_manifest(&client, "a", "t", OCI_MANIFEST, &manifest).expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    push_image(&client, "a", "t", b"layer");
}

#[test]
fn a_blob_is_there_only_under_the_digest_it_was_pushed_with() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    push_blob(&client, "a", b"layer");
    let mut manifest: Value = serde_json::from_slice(&image(&[b"layer"])).unwrap();
    manifest["layers"][0]["digest"] = json!(sha512(b"layer"));
    let manifest = serde_json::to_vec(&manifest).unwrap();
    put_manifest(&client, "a", "t", OCI_MANIFEST, &manifest).expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    client.post(&format!("/v2/a/blobs/uploads/?digest={}", sha512(b"layer")), b"layer").expect(201);
    put_manifest(&client, "a", "t", OCI_MANIFEST, &manifest).expect(201);
}

#[test]
fn layers_that_are_not_distributed_need_not_be_there() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    let foreign = |media_type: &str| {
        let mut layer = descriptor(media_type, b"elsewhere");
        layer["urls"] = json!(["https://example.com/layer", "http://10.0.0.1/layer"]);
        layer
    };
    for layer in [
        foreign(OCI_NONDISTRIBUTABLE),
        foreign(OCI_NONDISTRIBUTABLE_GZIP),
        foreign(DOCKER_FOREIGN_LAYER),
        descriptor(OCI_NONDISTRIBUTABLE_ZSTD, b"elsewhere"),
        foreign(OCI_LAYER),
    ] {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": [layer],
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        put_manifest(&client, "a", "t", OCI_MANIFEST, &manifest).expect(201);
        assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, manifest);
        client.get(&format!("/v2/a/blobs/{}", sha256(b"elsewhere"))).expect(404);
    }
}

/// A registry that stores manifests whose references do not exist.
fn lenient() -> TestStowage {
    let mut setup = Setup::default();
    setup.config.registry.require_references = false;
    TestStowage::with(setup)
}

#[test]
fn a_registry_that_requires_no_references_stores_sparse_images() {
    let server = lenient();
    let client = server.client();
    let image = image(&[b"missing"]);
    push_manifest(&client, "a", "image", OCI_MANIFEST, &image);
    push_manifest(&client, "a", "index", OCI_INDEX, &index(&[&image, b"missing"]));
    client.get("/v2/a/manifests/index").expect(200);
    client.get(&format!("/v2/a/blobs/{}", sha256(b"missing"))).expect(404);
    // Content that is pushed later is visible at once, and is kept as long as it is referenced.
    let blob = push_blob(&client, "a", b"missing");
    client.get(&format!("/v2/a/blobs/{blob}")).expect(200);
    client.delete(&format!("/v2/a/blobs/{blob}")).expect_error(405, "DENIED");
    client.delete(&format!("/v2/a/manifests/{}", sha256(&image))).expect(202);
    client.delete(&format!("/v2/a/blobs/{blob}")).expect(202);
}

#[test]
fn descriptors_of_unknown_algorithms_pass_where_nothing_needs_to_be_there() {
    let server = TestStowage::start();
    push_blob(&server.client(), "a", b"{}");
    let manifest = |layer_type: &str| {
        let layer = json!({ "mediaType": layer_type, "size": 5, "digest": "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBD" });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": [layer],
        });
        serde_json::to_vec(&manifest).unwrap()
    };
    let foreign = manifest(OCI_NONDISTRIBUTABLE);
    put_manifest(&server.client(), "a", "foreign", OCI_MANIFEST, &foreign).expect(201);
    let refused = put_manifest(&server.client(), "a", "t", OCI_MANIFEST, &manifest(OCI_LAYER)).expect(400);
    assert_eq!(missing(&refused)[0].0, "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBD");
    put_manifest(&lenient().client(), "a", "t", OCI_MANIFEST, &manifest(OCI_LAYER)).expect(201);
}

fn nest(client: &Client, name: &str, levels: usize) -> Vec<u8> {
    let mut inner = push_image(client, name, "image", b"layer");
    let mut media_type = OCI_MANIFEST;
    for _ in 0..levels {
        let entry = descriptor(media_type, &inner);
        inner =
            serde_json::to_vec(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }))
                .expect("JSON");
        put_manifest(client, name, &sha256(&inner), OCI_INDEX, &inner).expect(201);
        media_type = OCI_INDEX;
    }
    inner
}

#[test]
fn indexes_nest_8_levels_deep_and_no_deeper() {
    let server = TestStowage::start();
    let client = server.client();
    let deepest = nest(&client, "a", 8);
    let entry = descriptor(OCI_INDEX, &deepest);
    let deeper = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }).to_string();
    let refused =
        put_manifest(&client, "a", "t", OCI_INDEX, deeper.as_bytes()).expect_error(400, "MANIFEST_INVALID");
    assert!(refused.message().contains('8'), "{}", refused.message());
}

#[test]
fn one_blob_may_be_config_and_layers_at_once() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 100);
    let blob = push_blob(&client, "a", &content);
    let layers = vec![descriptor(OCI_LAYER, &content); 3];
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_EMPTY, &content), "layers": layers,
    });
    let digest = push_manifest(&client, "a", "t", OCI_MANIFEST, manifest.to_string().as_bytes());
    client.delete(&format!("/v2/a/blobs/{blob}")).expect_error(405, "DENIED");
    client.delete(&format!("/v2/a/manifests/{digest}")).expect(202);
    client.delete(&format!("/v2/a/blobs/{blob}")).expect(202);
}

/// Descriptions of existing content: the correct one, and wrong ones.
fn said(descriptor: &Value) -> Vec<Value> {
    let size = descriptor["size"].as_u64().expect("a size");
    let sizes = [0, 1, size - 1, size + 1, 50_000_000];
    sizes.iter().map(|size| with(descriptor, "size", json!(size))).collect()
}

fn with(value: &Value, key: &str, other: Value) -> Value {
    let mut value = value.clone();
    value[key] = other;
    value
}

#[test]
fn what_is_said_of_content_that_is_here_is_true() {
    let server = TestStowage::start();
    let client = server.client();
    let child = push_image(&client, "a", "t", b"layer");
    let right = descriptor(OCI_MANIFEST, &child);
    let put = |document: &Value| {
        let media_type = document["mediaType"].as_str().unwrap().to_owned();
        put_manifest(&client, "a", "u", &media_type, document.to_string().as_bytes())
    };
    let index = |entry: &Value| json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] });
    let subject = |entry: &Value| with(&index(&right), "subject", entry.clone());
    let mut wrong = said(&right);
    wrong.extend([OCI_INDEX, DOCKER_MANIFEST].map(|other| with(&right, "mediaType", json!(other))));
    for entry in &wrong {
        for document in [index(entry), subject(entry)] {
            let message = put(&document).expect_error(400, "MANIFEST_INVALID").message();
            assert!(message.contains(&sha256(&child)), "{message}");
        }
    }
    put(&index(&right)).expect(201);
    put(&subject(&right)).expect(201);
    let layer = descriptor(OCI_LAYER_GZIP, b"layer");
    for other in said(&layer) {
        for layers in [json!([other]), json!([layer, other]), json!([other, layer])] {
            let image = json!({
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"),
                "layers": layers,
            });
            put(&image).expect_error(400, "MANIFEST_INVALID");
        }
    }
}

#[test]
fn what_is_not_here_is_compared_when_it_comes() {
    let server = lenient();
    let client = server.client();
    let child = image(&[b"layer"]);
    let put_index = |entry: &Value| {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], "annotations": { "of": entry.to_string() } });
        put_manifest(
            &client,
            "a",
            &sha256(index.to_string().as_bytes()),
            OCI_INDEX,
            index.to_string().as_bytes(),
        )
    };
    let right = descriptor(OCI_MANIFEST, &child);
    let wrong = with(&right, "size", json!(3));
    let index = put_index(&wrong).expect(201).location();
    put_index(&right).expect_error(400, "MANIFEST_INVALID");
    let refused = put_manifest(&client, "a", "t", OCI_MANIFEST, &child).expect_error(400, "MANIFEST_INVALID");
    assert!(refused.message().contains(index.rsplit('/').next().unwrap()), "{}", refused.message());
    client.delete(&index).expect(202);
    put_index(&right).expect(201);
    put_manifest(&client, "a", "t", OCI_MANIFEST, &child).expect(201);

    let layer = descriptor(OCI_LAYER_GZIP, b"foreign");
    let image_of = |layer: &Value| {
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": [layer],
        })
    };
    let put_image = |layer: &Value| {
        let body = image_of(layer).to_string();
        put_manifest(&client, "a", &sha256(body.as_bytes()), OCI_MANIFEST, body.as_bytes())
    };
    let image = put_image(&with(&layer, "size", json!(3))).expect(201).location();
    put_image(&layer).expect_error(400, "MANIFEST_INVALID");
    let path = format!("/v2/a/blobs/uploads/?digest={}", sha256(b"foreign"));
    client.post(&path, b"foreign").expect_error(409, "SIZE_INVALID");
    client.delete(&image).expect(202);
    client.post(&path, b"foreign").expect(201);
    put_image(&layer).expect(201);
}

#[test]
fn a_missing_child_is_named_with_the_repository_that_has_it_and_the_command_that_copies_it() {
    let server = TestStowage::start();
    let client = server.client();
    let child = push_image(&client, "team/source", "t", b"layer");
    push_blob(&client, "team/target", b"{}");
    let index = index(&[&child]);
    let refused = put_manifest(&client, "team/target", "multi", OCI_INDEX, &index);
    let refused = refused.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(refused.json()["errors"][0]["detail"]["from"], "team/source");
    let (host, digest) = (server.address, sha256(&child));
    let places = format!("docker://{host}/team/source@{digest} docker://{host}/team/target@{digest}");
    let message = refused.message();
    assert!(message.contains("skopeo copy --all ") && message.ends_with(&places), "{message}");
}
