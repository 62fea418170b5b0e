//! Conditional requests (RFC 9110 section 13).

use stowage::model::media_type::OCI_MANIFEST;

use crate::support::content::{bytes, image, push_blob, push_image, sha256};
use crate::support::{Client, Response, TestStowage};

/// A server with a small blob, a large blob, a manifest and its tag; returns their paths and digests.
fn with_content() -> (TestStowage, Vec<(String, String)>) {
    let server = TestStowage::start();
    let client = server.client();
    let large = push_blob(&client, "a", &bytes(1, 100_000));
    let manifest = sha256(&push_image(&client, "a", "t", b"layer"));
    let paths = vec![
        (format!("/v2/a/blobs/{}", sha256(b"layer")), sha256(b"layer")),
        (format!("/v2/a/blobs/{large}"), large),
        (format!("/v2/a/manifests/{manifest}"), manifest.clone()),
        ("/v2/a/manifests/t".to_owned(), manifest),
    ];
    (server, paths)
}

fn both(client: &Client, path: &str, header: (&str, &str)) -> [Response; 2] {
    ["GET", "HEAD"].map(|method| client.send(method, path, &[header], b""))
}

#[test]
fn if_none_match_with_the_contents_tag_is_304_without_a_body() {
    let (server, paths) = with_content();
    for (path, digest) in paths {
        for tag in [
            format!("\"{digest}\""),
            format!("W/\"{digest}\""),
            digest.clone(),
            "*".to_owned(),
            format!("\"other\", \"{digest}\""),
            format!("\"{digest}\",W/\"other\""),
        ] {
            for response in both(&server.client(), &path, ("If-None-Match", &tag)) {
                let response = response.expect(304);
                assert_eq!(response.header("etag"), Some(format!("\"{digest}\"").as_str()), "{path} {tag}");
                assert_eq!(response.header("transfer-encoding"), None);
                assert!(response.body.is_empty());
            }
        }
    }
}

#[test]
fn if_none_match_with_another_tag_is_answered_in_full() {
    let (server, paths) = with_content();
    for (path, digest) in paths {
        for tag in [format!("\"{}\"", sha256(b"other")), "\"\"".to_owned(), format!("\"{}\"", &digest[..70])]
        {
            for response in both(&server.client(), &path, ("If-None-Match", &tag)) {
                response.expect(200);
            }
        }
    }
}

#[test]
fn if_match_with_another_tag_is_412_and_with_the_contents_tag_answered() {
    let (server, paths) = with_content();
    for (path, digest) in paths {
        for response in both(&server.client(), &path, ("If-Match", "\"other\"")) {
            response.expect(412);
        }
        for tag in [format!("\"{digest}\""), format!("\"other\", \"{digest}\""), "*".to_owned()] {
            for response in both(&server.client(), &path, ("If-Match", &tag)) {
                response.expect(200);
            }
        }
    }
}

#[test]
fn a_tag_that_moved_is_sent_again() {
    let server = TestStowage::start();
    let client = server.client();
    let old = sha256(&push_image(&client, "a", "t", b"old"));
    let new = push_image(&client, "a", "t", b"new");
    let headers = [("If-None-Match", format!("\"{old}\""))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(client.send("GET", "/v2/a/manifests/t", &headers, b"").expect(200).body, new);
}

#[test]
fn what_is_not_there_is_404_whatever_the_condition() {
    let server = TestStowage::start();
    for path in [format!("/v2/a/blobs/{}", sha256(b"x")), "/v2/a/manifests/t".to_owned()] {
        for header in [("If-None-Match", "*"), ("If-Match", "*"), ("If-Match", "\"x\"")] {
            for response in both(&server.client(), &path, header) {
                response.expect(404);
            }
        }
    }
}

/// Pushes an image under the tag `t` with a condition.
fn push_if(client: &Client, layer: &[u8], header: (&str, &str)) -> Response {
    push_blob(client, "a", b"{}");
    push_blob(client, "a", layer);
    client.send("PUT", "/v2/a/manifests/t", &[("Content-Type", OCI_MANIFEST), header], &image(&[layer]))
}

#[test]
fn if_none_match_star_sets_a_tag_only_once() {
    let server = TestStowage::start();
    let client = server.client();
    push_if(&client, b"first", ("If-None-Match", "*")).expect(201);
    push_if(&client, b"second", ("If-None-Match", "*")).expect(412);
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, image(&[b"first"]));
    client.get(&format!("/v2/a/manifests/{}", sha256(&image(&[b"second"])))).expect(404);
}

#[test]
fn if_match_moves_a_tag_only_from_where_the_client_saw_it() {
    let server = TestStowage::start();
    let client = server.client();
    push_if(&client, b"first", ("If-Match", "*")).expect(412);
    push_if(&client, b"first", ("If-None-Match", "*")).expect(201);
    let first = format!("\"{}\"", sha256(&image(&[b"first"])));
    push_if(&client, b"second", ("If-Match", &first)).expect(201);
    push_if(&client, b"third", ("If-Match", &first)).expect(412);
    push_if(&client, b"third", ("If-Match", "*")).expect(201);
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, image(&[b"third"]));
}

#[test]
fn of_many_who_move_a_tag_from_the_same_place_one_succeeds() {
    let server = TestStowage::start();
    let client = server.client();
    push_if(&client, b"start", ("If-None-Match", "*")).expect(201);
    let start = format!("\"{}\"", sha256(&image(&[b"start"])));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let pushes: Vec<_> = (0..16_u8)
            .map(|index| {
                let (client, start) = (client.clone(), &start);
                scope.spawn(move || push_if(&client, &[index], ("If-Match", start)).status)
            })
            .collect();
        pushes.into_iter().map(|push| push.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 15, "{statuses:?}");
}
