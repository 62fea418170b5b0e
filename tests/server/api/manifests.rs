//! `GET` and `HEAD` of `/v2/<name>/manifests/<reference>` (end-3).

use stowage::model::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

use crate::support::TestStowage;
use crate::support::content::{image, index, push_blob, push_image, push_manifest, put_manifest, sha256};

#[test]
fn a_manifest_comes_back_byte_for_byte_with_everything_that_describes_it() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "base", b"layer");
    let compact = String::from_utf8(image(&[b"layer"])).unwrap();
    let spaced = compact.replace(':', " :\t").replace(',', " ,\r\n").replace("sha256 :\t", "sha256:");
    for body in [compact.clone(), spaced, format!("  {compact}\n\n"), compact.replace('/', "\\/")] {
        let digest = push_manifest(&client, "a", "t", OCI_MANIFEST, body.as_bytes());
        for reference in ["t", &digest] {
            let path = format!("/v2/a/manifests/{reference}");
            let (got, head) = (client.get(&path).expect(200), client.head(&path).expect(200));
            assert_eq!(String::from_utf8(got.body.clone()).unwrap(), body);
            assert!(head.body.is_empty());
            for response in [got, head] {
                assert_eq!(response.header("content-type"), Some(OCI_MANIFEST));
                assert_eq!(response.header("content-length"), Some(body.len().to_string().as_str()));
                assert_eq!(response.header("docker-content-digest"), Some(digest.as_str()));
                assert_eq!(response.header("etag"), Some(format!("\"{digest}\"").as_str()));
            }
        }
    }
}

#[test]
fn what_a_digest_names_may_be_cached_for_ever_and_what_a_tag_names_not() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = sha256(&push_image(&client, "a", "t", b"layer"));
    let by_digest = client.get(&format!("/v2/a/manifests/{digest}")).expect(200);
    let cache = by_digest.header("cache-control").expect("a Cache-Control");
    assert!(cache.contains("immutable") && cache.contains("private"), "{cache}");
    let by_tag = client.get("/v2/a/manifests/t").expect(200);
    assert_eq!(by_tag.header("cache-control"), Some("no-cache"));
}

#[test]
fn accept_is_ignored_in_every_form_and_nothing_is_converted() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "image", b"layer");
    push_manifest(&client, "a", "index", OCI_INDEX, &index(&[&manifest]));
    let docker = String::from_utf8(manifest).unwrap().replace(OCI_MANIFEST, DOCKER_MANIFEST).into_bytes();
    push_manifest(&client, "a", "docker", DOCKER_MANIFEST, &docker);
    let list = String::from_utf8(index(&[&docker])).unwrap().replace(OCI_MANIFEST, DOCKER_MANIFEST);
    push_manifest(&client, "a", "list", DOCKER_LIST, list.replace(OCI_INDEX, DOCKER_LIST).as_bytes());
    let one_line = format!("{DOCKER_LIST}, {DOCKER_MANIFEST}, */*;q=0.1");
    let accepts: [&[(&str, &str)]; 7] = [
        &[],
        &[("Accept", "*/*")],
        &[("Accept", OCI_MANIFEST), ("Accept", DOCKER_LIST), ("accept", "application/json")],
        &[("Accept", &one_line)],
        &[("Accept", "application/vnd.docker.distribution.manifest.v1+prettyjws")],
        &[("Accept", "text/html;q=0")],
        &[("Accept", "")],
    ];
    for (tag, media_type) in
        [("image", OCI_MANIFEST), ("index", OCI_INDEX), ("docker", DOCKER_MANIFEST), ("list", DOCKER_LIST)]
    {
        let plain = client.get(&format!("/v2/a/manifests/{tag}")).expect(200);
        for accept in accepts {
            for method in ["GET", "HEAD"] {
                let response =
                    client.send(method, &format!("/v2/a/manifests/{tag}"), accept, b"").expect(200);
                assert_eq!(response.header("content-type"), Some(media_type), "{tag} {accept:?}");
                assert!(method == "HEAD" || response.body == plain.body);
            }
        }
    }
}

#[test]
fn what_nobody_pushed_is_404() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    for (path, code) in [
        ("/v2/a/manifests/unknown".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/a/manifests/{}", sha256(b"unknown")), "MANIFEST_UNKNOWN"),
        ("/v2/unknown/manifests/t".to_owned(), "NAME_UNKNOWN"),
        (format!("/v2/unknown/manifests/{}", sha256(b"unknown")), "MANIFEST_UNKNOWN"),
    ] {
        client.get(&path).expect_error(404, code);
        assert!(client.head(&path).expect(404).body.is_empty());
    }
}

#[test]
fn a_manifest_is_seen_in_its_own_repository_only() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = sha256(&push_image(&client, "mine", "t", b"layer"));
    push_image(&client, "other", "u", b"another layer");
    client.get(&format!("/v2/other/manifests/{digest}")).expect_error(404, "MANIFEST_UNKNOWN");
    client.get("/v2/other/manifests/t").expect_error(404, "MANIFEST_UNKNOWN");
    client.delete(&format!("/v2/other/manifests/{digest}")).expect_error(404, "MANIFEST_UNKNOWN");
    client.get(&format!("/v2/mine/manifests/{digest}")).expect(200);
}

#[test]
fn a_manifest_in_two_repositories_is_two_manifests() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    assert_eq!(push_image(&client, "b", "t", b"layer"), manifest);
    client.delete(&format!("/v2/a/manifests/{}", sha256(&manifest))).expect(202);
    assert_eq!(client.get("/v2/b/manifests/t").expect(200).body, manifest);
    client.get("/v2/a/manifests/t").expect(404);
}

#[test]
fn a_tag_moves_and_the_old_manifest_stays_under_its_digest() {
    let server = TestStowage::start();
    let client = server.client();
    let old = push_image(&client, "a", "t", b"old");
    let new = push_image(&client, "a", "t", b"new");
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, new);
    assert_eq!(client.get(&format!("/v2/a/manifests/{}", sha256(&old))).expect(200).body, old);
    push_manifest(&client, "a", "t", OCI_MANIFEST, &old);
    assert_eq!(client.get("/v2/a/manifests/t").expect(200).body, old);
    let tags = client.get("/v2/a/tags/list").expect(200).json();
    assert_eq!(tags["tags"].as_array().unwrap().len(), 1);
}

#[test]
fn a_manifest_may_be_pushed_again_with_its_tag_and_with_its_digest() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    for reference in ["t", &sha256(&manifest), "u", "t"] {
        put_manifest(&client, "a", reference, OCI_MANIFEST, &manifest).expect(201);
    }
}

#[test]
fn a_manifest_is_not_a_blob_and_a_blob_is_not_a_manifest() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = sha256(&push_image(&client, "a", "t", b"layer"));
    let blob = push_blob(&client, "a", b"layer");
    client.get(&format!("/v2/a/blobs/{manifest}")).expect_error(404, "BLOB_UNKNOWN");
    client.get(&format!("/v2/a/manifests/{blob}")).expect_error(404, "MANIFEST_UNKNOWN");
}
