//! How paths and queries are parsed.

use crate::support::TestStowage;
use crate::support::content::{close_upload, open_upload, push_blob, push_image, sha256};

#[test]
fn a_path_is_read_from_the_right() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a/tags/list", "t", b"layer");
    let tags = client.get("/v2/a/tags/list/tags/list").expect(200).json();
    assert_eq!(tags["name"], "a/tags/list");
    client.get("/v2/a/tags/list").expect_error(404, "NAME_UNKNOWN");
    client.get("/v2/a/tags/list/manifests/t").expect(200);
    push_image(&client, "a/manifests", "manifests", b"layer");
    client.get("/v2/a/manifests/manifests/manifests").expect(200);
    let upload = open_upload(&client, "blobs/uploads/blobs");
    close_upload(&client, &upload, &sha256(b"x"), b"x").expect(201);
    client.get(&format!("/v2/blobs/uploads/blobs/blobs/{}", sha256(b"x"))).expect(200);
}

#[test]
fn an_upload_starts_with_and_without_the_last_slash_and_without_a_redirect() {
    let server = TestStowage::start();
    let client = server.client();
    for path in ["/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads"] {
        let upload = client.post(path, b"").expect(202).location();
        client.get(&upload).expect(204);
    }
    let digest = sha256(b"x");
    client.post(&format!("/v2/a/b/blobs/uploads?digest={digest}"), b"x").expect(201);
}

#[test]
fn a_percent_encoded_digest_is_the_digest() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    for (kind, digest) in
        [("blobs", sha256(b"layer")), ("manifests", sha256(&manifest)), ("referrers", sha256(b"x"))]
    {
        let encoded = digest.replace(':', "%3A");
        client.get(&format!("/v2/a/{kind}/{encoded}")).expect(200);
        client.get(&format!("/v2/a/{kind}/{}", encoded.replace("%3A", "%3a"))).expect(200);
    }
}

#[test]
fn a_path_is_decoded_once() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a/b", "t", b"layer");
    client.get("/v2/a%2Fb/tags/list").expect(200);
    client.get("/v2/%61/b/manifests/%74").expect(200);
    client.get("/v2/a%252Fb/tags/list").expect_error(400, "NAME_INVALID");
    client.get("/v2/a/b/manifests/%2574").expect_error(400, "TAG_INVALID");
    let twice = sha256(b"layer").replace(':', "%253A");
    client.get(&format!("/v2/a/b/blobs/{twice}")).expect_error(400, "DIGEST_INVALID");
}

#[test]
fn dots_control_characters_and_broken_escapes_lead_nowhere() {
    let server = TestStowage::start();
    let client = server.client();
    push_image(&client, "a", "t", b"layer");
    for path in [
        "/v2/a/manifests/%00",
        "/v2/a/manifests/t%00",
        "/v2/a%0a/manifests/t",
        "/v2/a/manifests/t%0d%0aX-Injected:%20yes",
        "/v2/a/manifests/%zz",
        "/v2/a/manifests/%",
        "/v2/a/manifests/%f",
        "/v2/a/manifests/%ff",
        "/v2/a/manifests/%7f",
        "/v2/../v2/a/manifests/t",
        "/v2/a/../a/manifests/t",
        "/v2/a/%2e%2e/a/manifests/t",
        "/v2/./a/manifests/t",
        "/v2//a/manifests/t",
        "//v2/a/manifests/t",
        "/v2/a/blobs/../manifests/t",
        "/v2/a/blobs/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/v2/a/blobs/sha256:../../../etc/passwd",
        "/v2/a/blobs/uploads/..%2f..%2fstowage.redb",
        "/v2/a/blobs/uploads/../../../LOCK",
    ] {
        let response = client.get(path);
        assert!(matches!(response.status, 400 | 404), "{path}: {}", response.status);
        assert_eq!(response.header("x-injected"), None);
        assert!(response.json()["errors"][0]["code"].is_string(), "{path}");
    }
}

#[test]
fn query_values_are_read_raw_and_encoded_and_in_any_order() {
    let server = TestStowage::start();
    let client = server.client();
    let digest = push_blob(&client, "lib/from", b"blob");
    let encoded = digest.replace(':', "%3A");
    for (name, query) in [
        ("to/1", format!("mount={digest}&from=lib/from")),
        ("to/2", format!("mount={encoded}&from=lib%2Ffrom")),
        ("to/3", format!("from=lib%2Ffrom&mount={digest}")),
        ("to/4", format!("origin=host:5000&from=lib/from&mount={encoded}&ns=docker.io&account=me")),
    ] {
        client.post(&format!("/v2/{name}/blobs/uploads/?{query}"), b"").expect(201);
        client.head(&format!("/v2/{name}/blobs/{digest}")).expect(200);
    }
    let upload = open_upload(&client, "a");
    client.put(&format!("{upload}?_state=x&digest={}&y", sha256(b"z").replace(':', "%3a")), b"z").expect(201);
}

#[test]
fn unknown_parameters_are_ignored_everywhere() {
    let server = TestStowage::start();
    let client = server.client();
    let manifest = push_image(&client, "a", "t", b"layer");
    let unknown = "ns=docker.io&account=me&origin=example.com&x=%zz&=&&a=b=c&%ff";
    for path in ["", "_catalog", "a/tags/list", "a/manifests/t"] {
        client.get(&format!("/v2/{path}?{unknown}")).expect(200);
    }
    let plain = client.get("/v2/a/manifests/t").expect(200);
    let asked = client.get("/v2/a/manifests/t?ns=docker.io").expect(200);
    assert_eq!((&asked.body, asked.header("oci-namespace")), (&plain.body, None));
    client.get(&format!("/v2/a/blobs/{}?{unknown}", sha256(b"layer"))).expect(200);
    client.get(&format!("/v2/a/referrers/{}?{unknown}", sha256(&manifest))).expect(200);
    client.put(&format!("/v2/a/manifests/u?{unknown}"), &manifest).expect(201);
    let upload = client.post(&format!("/v2/a/blobs/uploads/?{unknown}"), b"").expect(202).location();
    client.patch(&format!("{upload}?{unknown}"), b"x").expect(202);
    client.get(&format!("{upload}?{unknown}")).expect(204);
    client.delete(&format!("{upload}?{unknown}")).expect(204);
}
