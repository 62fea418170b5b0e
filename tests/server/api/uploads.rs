//! Opening, querying, closing and cancelling uploads (end-4, end-6, end-13, end-14).

use crate::support::content::{bytes, close_upload, open_upload, push_blob, sha256, sha512};
use crate::support::{Client, TestStowage};

const NO_UPLOAD: &str = "/v2/a/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e";

#[test]
fn an_upload_begins_empty_with_a_place_of_its_own() {
    let server = TestStowage::start();
    let client = server.client();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let opened = client.post("/v2/a/blobs/uploads/", b"").expect(202);
        assert_eq!(opened.header("range"), Some("0-0"));
        assert_eq!(opened.header("content-length"), Some("0"));
        assert_eq!(opened.header("oci-chunk-min-length"), None);
        let id = opened.header("docker-upload-uuid").expect("an id").to_owned();
        assert!(opened.location().ends_with(&format!("/{id}")));
        assert!(!seen.contains(&id));
        seen.push(id);
    }
}

#[test]
fn an_upload_begins_whatever_the_type_of_its_empty_body() {
    let server = TestStowage::start();
    for content_type in ["application/json", "application/octet-stream", "text/plain", "nonsense"] {
        let headers = [("Content-Type", content_type), ("Content-Length", "0")];
        server.client().send("POST", "/v2/a/blobs/uploads/", &headers, b"").expect(202);
    }
    let chunked = server.client().send_chunked("POST", "/v2/a/blobs/uploads/", b"", 1);
    chunked.expect(202);
}

#[test]
fn a_blob_comes_with_one_post() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [bytes(1, 512), bytes(2, 3_000_000)] {
        for digest in [sha256(&content), sha512(&content)] {
            let path = format!("/v2/a/blobs/uploads/?digest={digest}");
            for created in
                [client.post(&path, &content), client.send_chunked("POST", &path, &content, 70_000)]
            {
                let created = created.expect(201);
                assert_eq!(created.location(), format!("/v2/a/blobs/{digest}"));
                assert_eq!(created.header("docker-content-digest"), Some(digest.as_str()));
                assert_eq!(created.header("content-length"), Some("0"));
                assert!(client.get(&created.location()).expect(200).body == content);
            }
        }
    }
}

#[test]
fn one_post_with_another_digest_than_its_bytes_stores_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    for (digest, real) in [(sha256(b"announced"), sha256(b"sent")), (sha512(b"announced"), sha512(b"sent"))] {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let refused = client.post(&path, b"sent").expect_error(400, "DIGEST_INVALID");
        assert_eq!(refused.json()["errors"][0]["detail"]["expected"], digest);
        assert_eq!(refused.json()["errors"][0]["detail"]["actual"], real);
        for digest in [digest, real] {
            client.head(&format!("/v2/a/blobs/{digest}")).expect(404);
        }
    }
    // The repository is gone, too.
    client.get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
}

#[test]
fn an_empty_post_with_the_digest_of_nothing_is_the_empty_blob() {
    let server = TestStowage::start();
    let client = server.client();
    for digest in [sha256(b""), sha512(b"")] {
        let created = client.post(&format!("/v2/a/blobs/uploads/?digest={digest}"), b"").expect(201);
        assert_eq!(client.get(&created.location()).expect(200).header("content-length"), Some("0"));
    }
}

#[test]
fn an_empty_post_that_announces_another_digest_opens_an_upload() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = sha256(b"comes later");
    let upload = client.post(&format!("/v2/a/blobs/uploads/?digest={digest}"), b"").expect(202).location();
    close_upload(&client, &upload, &digest, b"comes later").expect(201);
}

#[test]
fn a_blob_comes_with_post_and_put() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [Vec::new(), b"{}".to_vec(), bytes(1, 512), bytes(2, 3_000_000)] {
        for digest in [sha256(&content), sha512(&content)] {
            let upload = open_upload(&client, "a");
            let created = close_upload(&client, &upload, &digest, &content).expect(201);
            assert_eq!(created.location(), format!("/v2/a/blobs/{digest}"));
            assert_eq!(created.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(created.header("content-length"), Some("0"));
            let got = client.get(&created.location()).expect(200);
            assert!(got.body == content);
            assert_eq!(got.header("content-length"), Some(content.len().to_string().as_str()));
        }
    }
}

#[test]
fn a_put_may_be_chunked_without_a_length_and_a_type() {
    let server = TestStowage::start();
    let client = server.client();
    for content in [bytes(1, 100), bytes(2, 2_000_000)] {
        let path = format!("{}?digest={}", open_upload(&client, "a"), sha256(&content));
        let created = client.send_chunked("PUT", &path, &content, 65_536).expect(201);
        assert!(client.get(&created.location()).expect(200).body == content);
    }
}

#[test]
fn a_put_without_a_digest_keeps_the_upload() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"abc").expect(202);
    for query in ["", "?digest=", "?digest=sha256:short", "?digest=md5:00", "?digest=sha256%3A"] {
        client.put(&format!("{upload}{query}"), b"").expect_error(400, "DIGEST_INVALID");
        assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-2"), "{query}");
    }
    close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
}

#[test]
fn a_put_with_another_digest_than_the_bytes_drops_the_upload_and_stores_nothing() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"keeps the repository");
    let finish = |upload: &str, body: &[u8]| {
        close_upload(&client, upload, &sha256(b"announced"), body).expect_error(400, "DIGEST_INVALID");
        client.get(upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    };
    finish(&open_upload(&client, "a"), b"sent");
    let chunked = open_upload(&client, "a");
    client.patch(&chunked, b"se").expect(202);
    finish(&chunked, b"nt");
    let streamed = open_upload(&client, "a");
    client.send_chunked("PATCH", &streamed, b"sent", 2).expect(202);
    finish(&streamed, b"");
    for content in [b"announced".as_slice(), b"sent"] {
        client.get(&format!("/v2/a/blobs/{}", sha256(content))).expect_error(404, "BLOB_UNKNOWN");
    }
}

#[test]
fn get_and_head_of_an_upload_tell_where_it_stands() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    for (body, range) in [(&b""[..], "0-0"), (b"a", "0-0"), (b"bcd", "0-3"), (b"", "0-3"), (b"efghij", "0-9")]
    {
        client.patch(&upload, body).expect(202);
        for response in
            [client.get(&upload), client.head(&upload), client.get(&format!("{upload}?digest=sha256:0"))]
        {
            let response = response.expect(204);
            assert_eq!(response.header("range"), Some(range));
            assert_eq!(response.location(), upload);
            assert!(upload.ends_with(response.header("docker-upload-uuid").expect("an id")));
        }
    }
}

#[test]
fn an_upload_that_was_cancelled_is_gone() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"keeps the repository");
    for body in [&b""[..], b"some bytes"] {
        let upload = open_upload(&client, "a");
        client.patch(&upload, body).expect(202);
        let cancelled = client.delete(&upload).expect(204);
        assert!(cancelled.body.is_empty());
        every_use_is_404(&client, &upload);
    }
    assert_eq!(staged_files(&server), 0);
}

/// The number of staged files on the disk.
fn staged_files(server: &TestStowage) -> usize {
    std::fs::read_dir(server.directory.join("uploads")).expect("the directory of uploads").count()
}

fn every_use_is_404(client: &Client, upload: &str) {
    client.get(upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client.head(upload).expect(404);
    client.patch(upload, b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client.send("PATCH", upload, &[("Content-Range", "0-0")], b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client
        .send("PATCH", upload, &[("Content-Range", "nonsense")], b"x")
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    close_upload(client, upload, &sha256(b"x"), b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client.delete(upload).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn uploads_that_nobody_opened_are_404() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "a", b"keeps the repository");
    every_use_is_404(&client, NO_UPLOAD);
    every_use_is_404(&client, &NO_UPLOAD.replace("/a/", "/never/seen/"));
    every_use_is_404(
        &client,
        &NO_UPLOAD.to_uppercase().replace("/V2/A/BLOBS/UPLOADS/", "/v2/a/blobs/uploads/"),
    );
    for id in ["x", "1", "not-a-uuid", "%2e%2e", "9d3a4bb23a0f4d438b3a6d2b7d6d6c4e"] {
        every_use_is_404(&client, &format!("/v2/a/blobs/uploads/{id}"));
    }
}

#[test]
fn an_upload_is_unknown_in_every_other_repository() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "b", b"keeps the repository");
    let upload = open_upload(&client, "a");
    client.patch(&upload, b"abc").expect(202);
    every_use_is_404(&client, &upload.replace("/a/", "/b/"));
    every_use_is_404(&client, &upload.replace("/a/", "/a/b/"));
    assert_eq!(client.get(&upload).expect(204).header("range"), Some("0-2"));
    close_upload(&client, &upload, &sha256(b"abc"), b"").expect(201);
}

#[test]
fn a_second_put_is_404() {
    let server = TestStowage::start();
    let client = server.client();
    let upload = open_upload(&client, "a");
    close_upload(&client, &upload, &sha256(b"x"), b"x").expect(201);
    every_use_is_404(&client, &upload);
}

#[test]
fn a_late_patch_after_the_put_is_404_and_leaves_the_blob_alone() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 100_000);
    let upload = open_upload(&client, "a");
    client.patch(&upload, &content).expect(202);
    let blob = close_upload(&client, &upload, &sha256(&content), b"").expect(201).location();
    client.patch(&upload, b"late").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    client
        .send_chunked("PATCH", &upload, &bytes(2, 2_000_000), 65_536)
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    let headers = [("Content-Range", "0-3")];
    client.send("PATCH", &upload, &headers, b"late").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    assert!(client.get(&blob).expect(200).body == content);
}

#[test]
fn a_blob_may_be_pushed_again_in_every_way() {
    let server = TestStowage::start();
    let client = server.client();
    let content = bytes(1, 5000);
    for _ in 0..3 {
        push_blob(&client, "a", &content);
        let upload = open_upload(&client, "a");
        let blob = close_upload(&client, &upload, &sha256(&content), &content).expect(201).location();
        assert!(client.get(&blob).expect(200).body == content);
    }
    assert_eq!(staged_files(&server), 0);
}

#[test]
fn a_repository_goes_with_its_last_upload() {
    let server = TestStowage::start();
    let client = server.client();
    let (first, second) = (open_upload(&client, "a"), open_upload(&client, "a"));
    assert_eq!(client.get("/v2/a/tags/list").expect(200).json()["tags"].as_array().unwrap().len(), 0);
    client.delete(&first).expect(204);
    client.get("/v2/a/tags/list").expect(200);
    client.delete(&second).expect(204);
    client.get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
}

#[test]
fn an_upload_goes_on_when_everything_else_in_its_repository_is_deleted() {
    let server = TestStowage::start();
    let client = server.client();
    for begun in [&b""[..], b"abc"] {
        let other = push_blob(&client, "a", b"other");
        let upload = open_upload(&client, "a");
        client.patch(&upload, begun).expect(202);
        client.delete(&format!("/v2/a/blobs/{other}")).expect(202);
        client.get(&upload).expect(204);
        client.patch(&upload, b"def").expect(202);
        client.get("/v2/a/tags/list").expect(200);
        let content = [begun, b"def"].concat();
        let blob = close_upload(&client, &upload, &sha256(&content), b"").expect(201).location();
        client.get(&blob).expect(200);
        client.delete(&blob).expect(202);
        client.get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
    }
}
