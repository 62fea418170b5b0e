//! The grammar of digests, and the algorithms.

use crate::support::TestStowage;
use crate::support::content::{blake3, bytes, close_upload, open_upload, push_image, sha256, sha512};

#[test]
fn malformed_digests_are_refused_with_digest_invalid() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    let hex = "0123456789abcdef".repeat(4);
    for digest in [
        "sha256:",
        "sha256:0",
        &format!("sha256:{}", hex.to_uppercase()),
        &format!("sha256:{hex}0"),
        &format!("sha256:{}g", &hex[1..]),
        &format!("SHA256:{hex}"),
        &format!("sha512:{hex}"),
        &format!("sha512:{}", hex.repeat(2).to_uppercase()),
        &format!("blake3:{}", hex.to_uppercase()),
        &format!("blake3:{hex}{hex}"),
        &format!(":{hex}"),
        &format!("sha256::{hex}"),
        &format!("sha256:sha256:{hex}"),
        "sha256:baddigeststring",
    ] {
        for kind in ["blobs", "manifests", "referrers"] {
            client.get(&format!("/v2/a/{kind}/{digest}")).expect_error(400, "DIGEST_INVALID");
            client.head(&format!("/v2/a/{kind}/{digest}")).expect(400);
        }
        client.delete(&format!("/v2/a/blobs/{digest}")).expect_error(400, "DIGEST_INVALID");
        client.delete(&format!("/v2/a/manifests/{digest}")).expect_error(400, "DIGEST_INVALID");
        client.put(&format!("/v2/a/manifests/{digest}"), b"{}").expect_error(400, "DIGEST_INVALID");
        client
            .post(&format!("/v2/a/blobs/uploads/?digest={digest}"), b"x")
            .expect_error(400, "DIGEST_INVALID");
        let upload = open_upload(&client, "a");
        close_upload(&client, &upload, digest, b"x").expect_error(400, "DIGEST_INVALID");
    }
    client.get("/v2/a/blobs/nodigest").expect_error(400, "DIGEST_INVALID");
}

#[test]
fn content_of_an_algorithm_that_cannot_be_computed_is_refused() {
    let server = TestStowage::start();
    let client = server.client();
    for digest in [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha384:0123",
        "sha256+b64:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    ] {
        let refused =
            client.post(&format!("/v2/a/blobs/uploads/?digest={}", digest.replace('+', "%2B")), b"x");
        let refused = refused.expect_error(400, "DIGEST_INVALID");
        assert!(refused.message().contains("sha256, sha512 or blake3"), "{}", refused.message());
        client.put(&format!("/v2/a/manifests/{digest}"), b"{}").expect_error(400, "DIGEST_INVALID");
        client.get(&format!("/v2/a/manifests/{digest}")).expect_error(400, "DIGEST_INVALID");
    }
}

#[test]
fn blobs_answer_in_the_algorithm_that_was_asked_for() {
    let server = TestStowage::start();
    let client = server.client();
    for digest in [sha256(b"x"), sha512(b"x"), blake3(b"x")] {
        let location = client.post(&format!("/v2/a/blobs/uploads/?digest={digest}"), b"x").expect(201);
        assert_eq!(location.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(location.location(), format!("/v2/a/blobs/{digest}"));
        for response in [client.get(&location.location()), client.head(&location.location())] {
            assert_eq!(response.expect(200).header("docker-content-digest"), Some(digest.as_str()));
        }
        assert_eq!(client.get(&location.location()).body, b"x");
        client.delete(&location.location()).expect(202);
        client.head(&location.location()).expect(404);
    }
}

#[test]
fn an_upload_that_was_opened_plain_closes_with_any_algorithm() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 3000);
    for digest in [sha256(&content), sha512(&content), blake3(&content)] {
        let upload = open_upload(&client, "whole");
        let closed = close_upload(&client, &upload, &digest, &content).expect(201);
        assert_eq!(client.get(&closed.location()).expect(200).body, content);
        let upload = open_upload(&client, "chunked");
        client.patch(&upload, &content[..1000]).expect(202);
        client.patch(&upload, &content[1000..]).expect(202);
        let closed = close_upload(&client, &upload, &digest, b"").expect(201);
        assert_eq!(client.get(&closed.location()).expect(200).body, content);
    }
}

#[test]
fn an_upload_may_be_opened_for_an_algorithm_and_closed_with_any() {
    let server = TestStowage::start();
    let client = server.client();
    for (algorithm, other) in
        [("sha256", sha512(b"abc")), ("sha512", blake3(b"abc")), ("blake3", sha256(b"abc"))]
    {
        let open = || {
            let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
            let upload = client.post(&path, b"").expect(202).location();
            client.patch(&upload, b"ab").expect(202);
            upload
        };
        let own = match algorithm {
            "sha256" => sha256(b"abc"),
            "sha512" => sha512(b"abc"),
            _ => blake3(b"abc"),
        };
        close_upload(&client, &open(), &own, b"c").expect(201);
        close_upload(&client, &open(), &other, b"c").expect(201);
        close_upload(&client, &open(), &own, b"x").expect_error(400, "DIGEST_INVALID");
    }
}

#[test]
fn an_upload_for_an_unknown_algorithm_is_refused() {
    let server = TestStowage::start();
    for algorithm in ["md5", "SHA256", "sha-256", ""] {
        let path = format!("/v2/a/blobs/uploads/?digest-algorithm={algorithm}");
        server.client().post(&path, b"").expect_error(400, "DIGEST_INVALID");
    }
}

#[test]
fn of_several_digests_every_one_is_verified() {
    let server = TestStowage::start();
    let client = server.client();
    let (first, second, wrong) = (sha256(b"x"), sha512(b"x"), sha512(b"y"));
    let upload = open_upload(&client, "a");
    client.put(&format!("{upload}?digest={first}&digest={second}"), b"x").expect(201);
    client.get(&format!("/v2/a/blobs/{first}")).expect(200);
    let upload = open_upload(&client, "b");
    client.put(&format!("{upload}?digest={first}&digest={wrong}"), b"x").expect_error(400, "DIGEST_INVALID");
    client.get(&format!("/v2/b/blobs/{first}")).expect(404);
    let upload = open_upload(&client, "b");
    let unknown = format!("{upload}?digest={first}&digest=md5:d41d8cd98f00b204e9800998ecf8427e");
    client.put(&unknown, b"x").expect_error(400, "DIGEST_INVALID");
}

/// The path of the `PUT` that closes an upload with these digests.
fn closing(upload: &str, digests: &[&str]) -> String {
    let query: Vec<String> = digests.iter().map(|digest| format!("digest={digest}")).collect();
    format!("{upload}?{}", query.join("&"))
}

#[test]
fn a_closing_put_may_name_one_digest_of_each_algorithm_however_often() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [bytes(1, 100), bytes(2, 3_000_000)] {
        let digests = [sha256(&content), sha512(&content), blake3(&content)];
        for first in 0..digests.len() {
            let mut named: Vec<&str> = digests.iter().map(String::as_str).collect();
            named.rotate_left(first);
            let repeated: Vec<&str> = named.iter().cycle().take(30).copied().collect();
            for sent in [&content[..], b""] {
                let upload = open_upload(&client, "a");
                if sent.is_empty() {
                    client.patch(&upload, &content).expect(202);
                }
                let created = client.put(&closing(&upload, &repeated), sent).expect(201);
                assert_eq!(created.header("docker-content-digest"), Some(named[0]));
                assert!(client.get(&created.location()).expect(200).body == content);
            }
        }
    }
}

#[test]
fn two_different_digests_of_one_algorithm_are_refused_and_the_upload_is_still_open() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"abc").expect(202);
    let (right, wrong) = (sha512(b"abc"), sha512(b"other"));
    for digests in [[&right, &wrong], [&wrong, &right]] {
        let digests = [&sha256(b"abc"), digests[0].as_str(), digests[1].as_str()];
        let refused = client.put(&closing(&upload, &digests), b"").expect_error(400, "DIGEST_INVALID");
        assert!(refused.message().contains("two different sha512"), "{}", refused.message());
        client.get(&upload).expect(204);
    }
    client.put(&closing(&upload, &[&sha256(b"abc"), &right]), b"").expect(201);
}

#[test]
fn one_wrong_digest_of_several_drops_the_upload() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 100_000);
    for wrong in [
        [&sha256(&content), &sha512(b"x")],
        [&sha512(&content), &blake3(b"x")],
        [&sha256(b"x"), &sha512(&content)],
    ] {
        let upload = open_upload(&client, "a");
        client.patch(&upload, &content).expect(202);
        client.put(&closing(&upload, &[wrong[0], wrong[1]]), b"").expect_error(400, "DIGEST_INVALID");
        client.get(&upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        client.head(&format!("/v2/a/blobs/{}", wrong[0])).expect(404);
    }
}
