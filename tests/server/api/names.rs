//! The grammar of repository names and tags.

use crate::support::TestStowage;
use crate::support::content::{open_upload, push_blob, push_image, sha256};

/// A path of every endpoint that has a repository, with a method for it.
fn endpoints(name: &str) -> Vec<(&'static str, String)> {
    let digest = sha256(b"x");
    vec![
        ("GET", format!("/v2/{name}/blobs/{digest}")),
        ("HEAD", format!("/v2/{name}/blobs/{digest}")),
        ("DELETE", format!("/v2/{name}/blobs/{digest}")),
        ("POST", format!("/v2/{name}/blobs/uploads/")),
        ("PATCH", format!("/v2/{name}/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e")),
        ("PUT", format!("/v2/{name}/blobs/uploads/9d3a4bb2-3a0f-4d43-8b3a-6d2b7d6d6c4e?digest={digest}")),
        ("GET", format!("/v2/{name}/manifests/t")),
        ("PUT", format!("/v2/{name}/manifests/t")),
        ("DELETE", format!("/v2/{name}/manifests/t")),
        ("GET", format!("/v2/{name}/tags/list")),
        ("GET", format!("/v2/{name}/referrers/{digest}")),
    ]
}

#[test]
fn names_that_follow_the_grammar_hold_images() {
    let server = TestStowage::start();
    let client = server.client();
    for name in [
        "a",
        "0",
        "hello",
        "a/b",
        "a/b/c/d/e/f",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a-----b",
        "a.b_c__d-e--f/0.1",
        "library/hello-world",
        "blobs",
        "uploads",
        "manifests/tags/list",
        "blobs/uploads",
        "a/referrers",
        "v2/v2",
    ] {
        let manifest = push_image(&client, name, "latest", b"layer");
        assert_eq!(client.get(&format!("/v2/{name}/manifests/latest")).expect(200).body, manifest, "{name}");
        let tags = client.get(&format!("/v2/{name}/tags/list")).expect(200).json();
        assert_eq!(tags["name"], name);
        assert_eq!(tags["tags"][0], "latest");
        client.get(&format!("/v2/{name}/blobs/{}", sha256(b"layer"))).expect(200);
        client.get(&open_upload(&client, name)).expect(204);
    }
}

#[test]
fn names_outside_the_grammar_are_refused_by_every_endpoint() {
    let server = TestStowage::start();
    for name in [
        "A",
        "aB/c",
        "a..b",
        "a._b",
        "a___b",
        "_a",
        "a_",
        "-a",
        "a-",
        ".a",
        "a.",
        "a//b",
        "a/",
        "/a",
        "a/-",
        "a/../b",
        "..",
        ".",
        "a/./b",
        "a%20b",
        "a+b",
        "a@b",
        "a:b",
        "%C3%A4",
        "a%5Cb",
        "_catalog/a",
        "a~b",
        "a%25b",
        "a,b",
        "",
    ] {
        for (method, path) in endpoints(name) {
            let response = server.client().send(method, &path, &[], b"").expect(400);
            if method != "HEAD" {
                assert_eq!(response.code(), "NAME_INVALID", "{method} {path}");
            }
        }
    }
}

#[test]
fn names_of_255_characters_are_accepted_and_of_256_refused() {
    let server = TestStowage::start();
    let client = server.client();
    let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
    assert_eq!(longest.len(), 255);
    push_image(&client, &longest, "t", b"layer");
    client.get(&format!("/v2/{longest}/manifests/t")).expect(200);
    let listed = client.get("/v2/_catalog").expect(200).json();
    assert_eq!(listed["repositories"][0], longest);
    for (method, path) in endpoints(&format!("{longest}c")) {
        let response = client.send(method, &path, &[], b"").expect(400);
        assert!(method == "HEAD" || response.code() == "NAME_INVALID", "{method} {path}");
    }
}

#[test]
fn tags_that_follow_the_grammar_point_to_manifests() {
    let server = TestStowage::start();
    let client = server.client();
    let hex = "0123456789abcdef".repeat(4);
    let longest = format!("_{}", "x".repeat(127));
    for tag in [
        "latest",
        "1",
        "_",
        "__",
        "A",
        "v1.2.3",
        "1.2.3_meta",
        "a-",
        "a.",
        "0.-._",
        &format!("sha256-{hex}"),
        &format!("sha256-{hex}.sig"),
        &format!("sha256-{hex}.att"),
        &format!("sha256-{hex}.sbom"),
        "list",
        "uploads",
        &longest,
    ] {
        let manifest = push_image(&client, "a", tag, tag.as_bytes());
        assert_eq!(client.get(&format!("/v2/a/manifests/{tag}")).expect(200).body, manifest, "{tag}");
    }
}

#[test]
fn tags_differ_by_case() {
    let server = TestStowage::start();
    let client = server.client();
    let upper = push_image(&client, "a", "TAG", b"upper");
    let lower = push_image(&client, "a", "tag", b"lower");
    assert_eq!(client.get("/v2/a/manifests/TAG").expect(200).body, upper);
    assert_eq!(client.get("/v2/a/manifests/tag").expect(200).body, lower);
    client.get("/v2/a/manifests/Tag").expect_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn tags_outside_the_grammar_are_refused() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    let too_long = "x".repeat(129);
    for tag in [".a", "-a", "a%20b", "a+b", "a@b", "%C3%A4", "a%5Cb", "a,b", "", ".", "..", &too_long] {
        let path = format!("/v2/a/manifests/{tag}");
        client.put(&path, b"{}").expect_error(400, "TAG_INVALID");
        client.get(&path).expect_error(400, "TAG_INVALID");
        client.head(&path).expect(400);
        client.delete(&path).expect_error(400, "TAG_INVALID");
    }
}

#[test]
fn an_upper_case_name_is_refused_with_the_lower_case_one() {
    let server = TestStowage::start();
    let refused = server.client().post("/v2/Team/App/blobs/uploads/", b"").expect_error(400, "NAME_INVALID");
    assert!(refused.message().contains("`team/app`"), "{}", refused.message());
}

#[test]
fn repositories_whose_names_contain_each_other_are_apart() {
    let server = TestStowage::start();
    let client = server.client();
    let names = ["a", "a/b", "a/b/c", "a-b", "aa"];
    for name in names {
        push_image(&client, name, "t", name.as_bytes());
    }
    for name in names {
        for other in names {
            let blob = client.head(&format!("/v2/{name}/blobs/{}", sha256(other.as_bytes())));
            assert_eq!(blob.status, if name == other { 200 } else { 404 }, "{other} in {name}");
        }
    }
}

#[test]
fn a_blob_is_seen_in_its_own_repository_only() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "mine", b"secret");
    push_blob(&client, "other", b"something else");
    for name in ["other", "never/seen"] {
        client.get(&format!("/v2/{name}/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
        client.head(&format!("/v2/{name}/blobs/{digest}")).expect(404);
    }
    client.delete(&format!("/v2/other/blobs/{digest}")).expect_error(404, "BLOB_UNKNOWN");
    client.get(&format!("/v2/mine/blobs/{digest}")).expect(200);
}
