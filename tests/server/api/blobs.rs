//! `GET` and `HEAD` of `/v2/<name>/blobs/<digest>` (end-2).

use crate::support::TestStowage;
use crate::support::content::{bytes, push_blob, sha256};

#[test]
fn a_blob_comes_back_with_everything_that_describes_it() {
    let server = TestStowage::start();
    let client = server.client();
    for size in [1, 512, 65_536, 65_537, 3_000_000] {
        let content = bytes(size, usize::try_from(size).unwrap());
        let digest = push_blob(&client, "a", &content);
        let path = format!("/v2/a/blobs/{digest}");
        let got = client.get(&path).expect(200);
        assert!(got.body == content, "the bytes of {size}");
        let head = client.head(&path).expect(200);
        assert!(head.body.is_empty());
        for response in [got, head] {
            assert_eq!(response.header("content-length"), Some(size.to_string().as_str()));
            assert_eq!(response.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(response.header("content-type"), Some("application/octet-stream"));
            assert_eq!(response.header("accept-ranges"), Some("bytes"));
            assert_eq!(response.header("etag"), Some(format!("\"{digest}\"").as_str()));
            let cache = response.header("cache-control").expect("a Cache-Control");
            assert!(cache.contains("max-age=31536000") && cache.contains("private"), "{cache}");
        }
    }
}

#[test]
fn the_empty_blob_has_a_content_length_of_0() {
    let server = TestStowage::start();
    let client = server.client();
    let path = format!("/v2/a/blobs/{}", push_blob(&client, "a", b""));
    for response in [client.get(&path), client.head(&path)] {
        let response = response.expect(200);
        assert_eq!(response.all("content-length"), ["0"]);
        assert!(response.body.is_empty());
    }
}

#[test]
fn blobs_that_nobody_pushed_are_404_in_known_and_unknown_repositories() {
    let server = TestStowage::start();
    let client = server.client();
    push_blob(&client, "known", b"something");
    for name in ["known", "unknown"] {
        let path = format!("/v2/{name}/blobs/{}", sha256(b"nothing"));
        client.get(&path).expect_error(404, "BLOB_UNKNOWN");
        let head = client.head(&path).expect(404);
        assert!(head.body.is_empty());
    }
}

#[test]
fn browsers_neither_guess_a_type_for_a_blob_nor_run_it() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "a", b"<script>alert(1)</script>");
    let response = client.get(&format!("/v2/a/blobs/{digest}")).expect(200);
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("content-security-policy"), Some("sandbox"));
}

#[test]
fn a_blob_is_read_at_once_by_many() {
    let server = TestStowage::start();
    let content = bytes(7, 1_500_000);
    let path = format!("/v2/a/blobs/{}", push_blob(&server.client(), "a", &content));
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| assert!(server.client().get(&path).expect(200).body == content));
        }
    });
}
