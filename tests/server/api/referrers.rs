//! `/v2/<name>/referrers/<digest>` (end-12).

use serde_json::{Value, json};
use stowage::model::media_type::{OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};

use crate::support::content::{
    blake3, descriptor, push_blob, push_image, push_manifest, put_manifest, referrer, sha256, sha512,
};
use crate::support::{Client, Response, TestStowage};

fn ask(client: &Client, subject: &[u8], query: &str) -> Response {
    let response = client.get(&format!("/v2/a/referrers/{}{query}", sha256(subject))).expect(200);
    assert_eq!(response.header("content-type"), Some(OCI_INDEX));
    response
}

fn listed(response: &Response) -> Vec<Value> {
    response.json()["manifests"].as_array().expect("an array").clone()
}

fn digests(response: &Response) -> Vec<String> {
    listed(response).iter().map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect()
}

/// Pushes a referrer by its digest and returns the digest.
fn refer(client: &Client, subject: &[u8], artifact_type: &str, annotations: &Value) -> String {
    push_blob(client, "a", b"{}");
    let body = referrer(subject, artifact_type, annotations);
    push_manifest(client, "a", &sha256(&body), OCI_MANIFEST, &body)
}

#[test]
fn what_was_never_seen_has_an_empty_list() {
    let server = TestStowage::start();
    let client = server.client();
    let zero = format!("sha256:{}", "0".repeat(64));
    for name in ["never/seen", "a"] {
        for digest in [&zero, &sha512(b"x"), &blake3(b"x"), "sha384:00", "x:y"] {
            let path = format!("/v2/{name}/referrers/{digest}");
            let response = client.get(&path).expect(200);
            assert_eq!(response.header("content-type"), Some(OCI_INDEX));
            assert_eq!(
                response.json(),
                json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] })
            );
            assert_eq!((response.next_page(), response.header("oci-filters-applied")), (None, None));
            let head = client.head(&path).expect(200);
            assert_eq!(head.header("content-length"), Some(response.body.len().to_string().as_str()));
        }
        push_image(&client, "a", "t", b"layer");
    }
}

#[test]
fn a_malformed_digest_is_400() {
    let server = TestStowage::start();
    for digest in ["x", "sha256:0", "latest", "sha256:baddigeststring", ":"] {
        let path = format!("/v2/a/referrers/{digest}");
        server.client().get(&path).expect_error(400, "DIGEST_INVALID");
    }
}

#[test]
fn a_referrer_is_listed_at_once_with_all_that_describes_it() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let annotations = json!({ "org.example.a": "1", "org.example.ü": "\"quoted\"\n", "": "" });
    let body = referrer(&subject, "application/x.sbom", &annotations);
    for digest in [sha256(&body), sha512(&body)] {
        put_manifest(&client, "a", &digest, OCI_MANIFEST, &body).expect(201);
        let entries = listed(&ask(&client, &subject, ""));
        let entry = entries.iter().find(|entry| entry["digest"] == digest).expect("it is listed");
        let expected = json!({
            "mediaType": OCI_MANIFEST, "size": body.len(), "digest": digest, "artifactType": "application/x.sbom",
            "annotations": annotations,
        });
        assert_eq!(*entry, expected);
    }
}

#[test]
fn the_artifact_type_is_the_manifests_own_or_that_of_an_images_config() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let own = descriptor(OCI_MANIFEST, &subject);
    let image = |config: &str| json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config, b"{}"), "layers": [] });
    let index = || json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] });
    for (mut manifest, artifact_type, expected) in [
        (image(OCI_EMPTY), Some("application/own"), json!("application/own")),
        (image(OCI_CONFIG), None, json!(OCI_CONFIG)),
        (image("application/x.config"), Some(""), json!("application/x.config")),
        (index(), Some("application/own.index"), json!("application/own.index")),
        (index(), None, Value::Null),
    ] {
        manifest["subject"] = own.clone();
        if let Some(artifact_type) = artifact_type {
            manifest["artifactType"] = json!(artifact_type);
        }
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        let body = manifest.to_string();
        push_manifest(&client, "a", &sha256(body.as_bytes()), &media_type, body.as_bytes());
        let entries = listed(&ask(&client, &subject, ""));
        let entry =
            entries.iter().find(|entry| entry["digest"] == sha256(body.as_bytes())).expect("it is listed");
        assert_eq!(entry["artifactType"], expected);
        assert_eq!(entry.get("artifactType").is_none(), expected.is_null(), "omitted, not null");
        assert_eq!(entry["mediaType"], media_type);
        assert!(entry.get("platform").is_none());
    }
}

#[test]
fn a_filter_leaves_only_what_it_names_and_says_so() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let sbom = refer(&client, &subject, "application/sbom+json", &json!({}));
    let signature = refer(&client, &subject, "application/sig", &json!({}));
    let other = refer(&client, &subject, "application/other", &json!({}));
    let everything = ask(&client, &subject, "");
    assert_eq!((digests(&everything).len(), everything.header("oci-filters-applied")), (3, None));
    for (query, mut expected) in [
        ("?artifactType=application/sbom%2Bjson", vec![&sbom]),
        ("?artifactType=application%2Fsig", vec![&signature]),
        ("?artifactType=application/sig&artifactType=application/other", vec![&signature, &other]),
        ("?artifactType=application/unknown", vec![]),
        ("?artifactType=application/si", vec![]),
    ] {
        let response = ask(&client, &subject, query);
        assert_eq!(response.header("oci-filters-applied"), Some("artifactType"), "{query}");
        let mut found = digests(&response);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let empty = ask(&client, &subject, "?artifactType=");
    assert_eq!((digests(&empty).len(), empty.header("oci-filters-applied")), (3, None));
}

/// Follows the pages of a list to its end, and asserts that no page has more than `limit` entries.
fn pages(client: &Client, first: &Response, limit: usize) -> Vec<String> {
    let mut all = digests(first);
    let mut next = first.next_page();
    while let Some(path) = next {
        let page = client.get(&path).expect(200);
        assert_eq!(page.header("oci-filters-applied"), first.header("oci-filters-applied"));
        assert!((1..=limit).contains(&digests(&page).len()));
        all.extend(digests(&page));
        next = page.next_page();
    }
    all
}

#[test]
fn pages_followed_to_the_end_hold_everything_once_and_keep_the_filter() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let mut wanted = Vec::new();
    for index in 0..9 {
        let artifact_type = format!("application/x+{}", index % 3);
        let digest = refer(&client, &subject, &artifact_type, &json!({ "n": index.to_string() }));
        if index % 3 == 0 {
            wanted.push(digest);
        }
    }
    let everything = digests(&ask(&client, &subject, ""));
    assert_eq!(everything.len(), 9);
    for n in [1, 2, 3, 4, 9, 100, 99_999] {
        assert_eq!(pages(&client, &ask(&client, &subject, &format!("?n={n}")), n), everything, "n={n}");
        let filtered = ask(&client, &subject, &format!("?n={n}&artifactType=application%2Fx%2B0"));
        let mut filtered = pages(&client, &filtered, n);
        filtered.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(filtered, wanted, "n={n}");
    }
    let none = ask(&client, &subject, "?n=0");
    assert_eq!((digests(&none).len(), none.next_page()), (0, None));
    let path = format!("/v2/a/referrers/{}", sha256(&subject));
    client.get(&format!("{path}?n=-1")).expect_error(400, "PAGINATION_NUMBER_INVALID");
    client.get(&format!("{path}?last=x")).expect_error(400, "DIGEST_INVALID");
}

#[test]
fn a_page_is_never_larger_than_the_4_mib_that_clients_read() {
    let server = TestStowage::start();
    let client = server.client();
    for index in 0..3 {
        let annotations = json!({ "n": index.to_string(), "filler": "x".repeat(1_700_000) });
        refer(&client, b"subject", "application/x", &annotations);
    }
    let first = ask(&client, b"subject", "");
    let second = client.get(&first.next_page().expect("a second page")).expect(200);
    assert!(first.body.len() <= 4 << 20, "{} bytes", first.body.len());
    let (first, last) = (digests(&first), digests(&second));
    assert_eq!((first.len(), last.len(), second.next_page()), (2, 1, None));
    assert!(!first.contains(&last[0]));
}

#[test]
fn without_n_a_page_has_a_thousand_entries() {
    let server = TestStowage::start();
    push_blob(&server.client(), "a", b"{}");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let client = server.client();
            scope.spawn(move || {
                for index in (thread..1001).step_by(8) {
                    let body = referrer(b"subject", "application/x", &json!({ "n": index.to_string() }));
                    push_manifest(&client, "a", &sha256(&body), OCI_MANIFEST, &body);
                }
            });
        }
    });
    let first = ask(&server.client(), b"subject", "");
    assert_eq!(digests(&first).len(), 1000);
    assert_eq!(pages(&server.client(), &first, 1000).len(), 1001);
}

#[test]
fn the_list_outlives_its_subject_and_loses_a_deleted_referrer_at_once() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let first = refer(&client, &subject, "application/1", &json!({}));
    let second = refer(&client, &subject, "application/2", &json!({}));
    client.delete(&format!("/v2/a/manifests/{}", sha256(&subject))).expect(202);
    assert_eq!(digests(&ask(&client, &subject, "")).len(), 2);
    client.get(&format!("/v2/a/manifests/{first}")).expect(200);
    client.delete(&format!("/v2/a/manifests/{first}")).expect(202);
    assert_eq!(digests(&ask(&client, &subject, "")), [second]);
}

#[test]
fn referrers_of_another_repository_are_not_listed() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    push_image(&client, "b", "t", b"layer");
    refer(&client, &subject, "application/x", &json!({}));
    let other = client.get(&format!("/v2/b/referrers/{}", sha256(&subject))).expect(200);
    assert!(listed(&other).is_empty());
}

#[test]
fn the_tags_of_clients_without_this_list_are_only_stored() {
    let server = TestStowage::start();
    let client = server.client();
    let subject = push_image(&client, "a", "t", b"layer");
    let fallback = sha256(&subject).replace(':', "-");
    push_manifest(&client, "a", &fallback, OCI_INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
    client.get(&format!("/v2/a/manifests/{fallback}")).expect(200);
    assert!(digests(&ask(&client, &subject, "")).is_empty());
}
