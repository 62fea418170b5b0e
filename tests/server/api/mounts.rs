//! Mounting blobs of other repositories (end-11).

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::TestStowage;
use crate::support::content::{blake3, bytes, close_upload, image, push_blob, push_manifest, sha256, sha512};

fn mount_path(name: &str, digest: &str, from: &str) -> String {
    format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}")
}

#[test]
fn a_blob_of_another_repository_is_mounted_at_once() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [bytes(1, 1000), Vec::new()] {
        for digest in [sha256(&content), sha512(&content), blake3(&content)] {
            client.post(&format!("/v2/from/blobs/uploads/?digest={digest}"), &content).expect(201);
            let mounted = client.post(&mount_path("to", &digest, "from"), b"").expect(201);
            assert_eq!(mounted.location(), format!("/v2/to/blobs/{digest}"));
            assert_eq!(mounted.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(mounted.header("content-length"), Some("0"));
            assert_eq!(mounted.header("docker-upload-uuid"), None);
            assert!(client.get(&mounted.location()).expect(200).body == content);
            client.head(&mounted.location()).expect(200);
        }
    }
}

#[test]
fn mounted_blobs_carry_a_manifest_at_once() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [&b"{}"[..], b"layer"] {
        let digest = push_blob(&client, "from", content);
        client.post(&mount_path("to", &digest, "from"), b"").expect(201);
    }
    push_manifest(&client, "to", "t", OCI_MANIFEST, &image(&[b"layer"]));
}

#[test]
fn a_mount_that_is_not_possible_opens_an_upload() {
    let server = TestStowage::start();
    let client = server.client();
    let elsewhere = push_blob(&client, "elsewhere", b"blob");
    push_blob(&client, "from", b"another");
    let digest = sha256(b"blob");
    for (digest, from) in [
        (elsewhere.as_str(), "from"),
        (elsewhere.as_str(), "never/seen"),
        (elsewhere.as_str(), "Not%20A%20Name"),
        (&sha256(b"never seen"), "from"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "from"),
        ("sha256:short", "from"),
        ("", "from"),
    ] {
        let opened = client.post(&mount_path("to", digest, from), b"").expect(202);
        assert_eq!(opened.header("range"), Some("0-0"), "{digest} {from}");
        assert!(opened.header("docker-upload-uuid").is_some());
        client.head(&format!("/v2/to/blobs/{elsewhere}")).expect(404);
        client.delete(&opened.location()).expect(204);
    }
    let opened = client.post(&mount_path("to", &digest, "from"), b"").expect(202);
    close_upload(&client, &opened.location(), &digest, b"blob").expect(201);
}

#[test]
fn a_mount_without_a_source_finds_the_blob_in_any_repository() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "some/where", b"blob");
    let mounted = client.post(&format!("/v2/to/blobs/uploads/?mount={digest}"), b"").expect(201);
    assert_eq!(client.get(&mounted.location()).expect(200).body, b"blob");
    let unknown = format!("/v2/to/blobs/uploads/?mount={}", sha256(b"never seen"));
    client.post(&unknown, b"").expect(202);
}

#[test]
fn a_blob_may_be_mounted_where_it_is_already() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "a", b"blob");
    for _ in 0..2 {
        client.post(&mount_path("a", &digest, "a"), b"").expect(201);
        client.post(&mount_path("b", &digest, "a"), b"").expect(201);
    }
}

#[test]
fn a_mounted_blob_stays_when_its_source_is_deleted() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "from", b"blob");
    client.post(&mount_path("to", &digest, "from"), b"").expect(201);
    client.delete(&format!("/v2/from/blobs/{digest}")).expect(202);
    client.head(&format!("/v2/from/blobs/{digest}")).expect(404);
    assert_eq!(client.get(&format!("/v2/to/blobs/{digest}")).expect(200).body, b"blob");
    // From there it can be mounted back.
    client.post(&mount_path("from", &digest, "to"), b"").expect(201);
}

#[test]
fn a_deleted_blob_is_no_source_for_a_mount() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "from", b"blob");
    client.delete(&format!("/v2/from/blobs/{digest}")).expect(202);
    client.post(&mount_path("to", &digest, "from"), b"").expect(202);
    client.post(&format!("/v2/to/blobs/uploads/?mount={digest}"), b"").expect(202);
    client.head(&format!("/v2/to/blobs/{digest}")).expect(404);
}

#[test]
fn a_mount_makes_its_repository_and_a_failed_one_leaves_none_behind() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "from", b"blob");
    client.post(&mount_path("to", &digest, "from"), b"").expect(201);
    client.get("/v2/to/tags/list").expect(200);
    let opened = client.post(&mount_path("new", &sha256(b"x"), "from"), b"").expect(202);
    client.delete(&opened.location()).expect(204);
    client.get("/v2/new/tags/list").expect_error(404, "NAME_UNKNOWN");
}
