//! Pushing manifests with a `subject`.

use serde_json::{Value, json};
use stowage::model::media_type::{OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};

use crate::support::TestStowage;
use crate::support::content::{descriptor, push_blob, push_image, put_manifest, referrer, sha256, sha512};

fn index_with(subject: &Value) -> Vec<u8> {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject });
    serde_json::to_vec(&index).expect("JSON")
}

#[test]
fn the_answer_names_the_subject_of_images_and_indexes_at_every_push() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let image = referrer(&subject, "application/x", &json!({}));
    let index = index_with(&descriptor(OCI_MANIFEST, &subject));
    for (media_type, body) in [(OCI_MANIFEST, &image), (OCI_INDEX, &index)] {
        for reference in [sha256(body), "tag".to_owned(), sha256(body), format!("{}?tag=u", sha512(body))] {
            let created = put_manifest(&client, "a", &reference, media_type, body).expect(201);
            assert_eq!(created.header("oci-subject"), Some(sha256(&subject).as_str()), "{reference}");
        }
    }
}

#[test]
fn a_subject_need_not_be_there() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    let body = referrer(b"never pushed", "application/x", &json!({}));
    let created = put_manifest(&client, "a", "t", OCI_MANIFEST, &body).expect(201);
    assert_eq!(created.header("oci-subject"), Some(sha256(b"never pushed").as_str()));
    let listed = client.get(&format!("/v2/a/referrers/{}", sha256(b"never pushed"))).expect(200).json();
    assert_eq!(listed["manifests"][0]["digest"], sha256(&body));
}

#[test]
fn a_subject_may_have_a_digest_of_any_algorithm() {
    let server = TestStowage::start();
    let client = server.client();
    for digest in [sha512(b"subject"), "sha384:0123456789abcdef".to_owned(), "x+y.z:Ab-_=".to_owned()] {
        let body = index_with(&json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 7 }));
        let created = put_manifest(&client, "a", "t", OCI_INDEX, &body).expect(201);
        assert_eq!(created.header("oci-subject"), Some(digest.as_str()));
        let path = format!("/v2/a/referrers/{}", digest.replace('+', "%2B"));
        let listed = client.get(&path).expect(200).json();
        assert_eq!(listed["manifests"][0]["digest"], sha256(&body), "{digest}");
    }
}

#[test]
fn a_malformed_subject_is_refused() {
    let server = TestStowage::start();
    let client = server.client();
    for subject in
        [json!("x"), json!([]), json!({}), json!({ "mediaType": "x", "digest": "sha256:0", "size": 1 })]
    {
        let refused = put_manifest(&client, "a", "t", OCI_INDEX, &index_with(&subject));
        let message = refused.expect_error(400, "MANIFEST_INVALID").message();
        assert!(message.contains("subject"), "{message}");
    }
}

#[test]
fn a_manifest_may_be_its_own_neighbours_subject_in_a_chain() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"{}");
    let mut subject = push_image(&client, "a", "t", b"layer");
    for level in 0..5 {
        let body = referrer(&subject, &format!("application/level.{level}"), &json!({}));
        put_manifest(&client, "a", &sha256(&body), OCI_MANIFEST, &body).expect(201);
        let listed = client.get(&format!("/v2/a/referrers/{}", sha256(&subject))).expect(200).json();
        assert_eq!(listed["manifests"].as_array().unwrap().len(), 1);
        assert_eq!(listed["manifests"][0]["artifactType"], format!("application/level.{level}"));
        subject = body;
    }
}

#[test]
fn a_cosign_bundle_is_stored_by_digest_alone_and_listed() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    push_blob(&client, "a", b"bundle");
    let bundle_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let body = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": bundle_type,
        "config": descriptor(OCI_EMPTY, b"{}"), "layers": [descriptor(bundle_type, b"bundle")],
        "subject": descriptor(OCI_MANIFEST, &subject),
        "annotations": { "dev.sigstore.bundle.content": "dsse-envelope" },
    }))
    .unwrap();
    put_manifest(&client, "a", &sha256(&body), OCI_MANIFEST, &body).expect(201);
    let listed = client.get(&format!("/v2/a/referrers/{}", sha256(&subject))).expect(200).json();
    assert_eq!(listed["manifests"][0]["annotations"]["dev.sigstore.bundle.content"], "dsse-envelope");
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json()["tags"], json!(["t"]));
}
