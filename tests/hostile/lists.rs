//! Lists that many clients ask for at once, or do not read.

use std::fmt::Write as _;

use serde_json::{Value, json};
use stowage::model::manifest::{MAX_MANIFEST_SIZE, MAX_REFERENCES};
use stowage::model::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_NONDISTRIBUTABLE};

use crate::load::{alone, connect, connect_deaf, push_and_pull};
use crate::process::Stowage;
use crate::support::content::{descriptor, push_blob, push_manifest, put_manifest, sha256};
use crate::support::{Client, Response};

/// Clients that ask at once.
const CLIENTS: usize = 300;
/// What all referrers here refer to.
const SUBJECT: &[u8] = b"subject";

fn path_of_referrers() -> String {
    format!("/v2/team/app/referrers/{}", sha256(SUBJECT))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Pushes a referrer with these annotations and as many layers that are kept elsewhere as a manifest may have.
fn refer(client: &Client, annotations: &Value, layers: usize) -> String {
    push_blob(client, "team/app", b"{}");
    let layer = |number: usize| {
        // Each as long as it can be for all of them to fit.
        let padding = "x".repeat(MAX_MANIFEST_SIZE / MAX_REFERENCES - 230);
        json!({
            "mediaType": OCI_NONDISTRIBUTABLE, "size": number, "digest": sha256(&number.to_le_bytes()),
            "annotations": { "a": padding },
        })
    };
    let layers: Vec<Value> = (0..layers).map(layer).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": layers,
        "subject": descriptor(OCI_MANIFEST, SUBJECT), "annotations": annotations,
    });
    let body = serde_json::to_vec(&manifest).expect("JSON");
    push_manifest(client, "team/app", &sha256(&body), OCI_MANIFEST, &body)
}

/// Every entry of a list, whatever its pages.
fn follow(client: &Client, path: &str, key: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page: Response = client.get(&path).expect(200);
        assert!(page.body.len() <= MAX_MANIFEST_SIZE, "{} bytes", page.body.len());
        all.extend(page.json()[key].as_array().expect("a list").clone());
        next = page.next_page();
    }
    all
}

#[test]
fn lists_of_large_referrers_keep_nobody_out() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    for number in 0..12 {
        refer(&client, &json!({ "n": number.to_string() }), MAX_REFERENCES - 1);
    }
    let request = client.head_of("GET", &path_of_referrers(), &[]).into_bytes();
    let streams = connect(&server, CLIENTS, |_| request.clone());
    push_and_pull(&client, "meanwhile");
    let listed = follow(&client, &path_of_referrers(), "manifests");
    assert_eq!(listed.len(), 12);
    assert!(listed.iter().all(|entry| entry["annotations"]["n"].is_string()), "{listed:?}");
    server.assert_small();
    drop(streams);
    server.assert_at_rest();
}

#[test]
fn long_annotations_that_nobody_reads_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let text = "x".repeat(MAX_MANIFEST_SIZE - 400_000);
    refer(&client, &json!({ "a": text }), 0);
    let listed = client.get(&path_of_referrers()).expect(200).json();
    assert!(listed["manifests"][0]["annotations"]["a"] == text, "long annotations are listed");
    let streams = connect_deaf(&server, CLIENTS, get(&path_of_referrers()).as_bytes());
    push_and_pull(&client, "meanwhile");
    assert!(client.get(&path_of_referrers()).expect(200).body.len() > text.len());
    server.assert_small();
    server.assert_at_rest();
    drop(streams);
    push_and_pull(&client, "afterwards");
    server.assert_at_rest();
}

#[test]
fn long_annotations_are_read_a_few_at_a_time_and_all_are_listed() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let text = "x".repeat(stowage::registry::SHORT_ANNOTATIONS);
    for number in 0..6 {
        refer(&client, &json!({ "a": text, "n": number.to_string() }), MAX_REFERENCES / 2);
    }
    // Two manifests of half the size are all that is read for a page.
    assert_eq!(client.get(&path_of_referrers()).expect(200).json()["manifests"].as_array().unwrap().len(), 2);
    let listed = follow(&client, &path_of_referrers(), "manifests");
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|entry| entry["annotations"]["a"] == text));
}

#[test]
fn long_lists_of_tags_that_nobody_reads_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    let tags: Vec<String> = (0..10_000).map(|number| format!("{number:x>128}")).collect();
    for tags in tags.chunks(64) {
        let mut path = sha256(body);
        for (index, tag) in tags.iter().enumerate() {
            let _ = write!(path, "{}tag={tag}", if index == 0 { '?' } else { '&' });
        }
        put_manifest(&client, "team/app", &path, OCI_INDEX, body).expect(201);
    }
    let path = "/v2/team/app/tags/list";
    let streams = connect_deaf(&server, CLIENTS, get(path).as_bytes());
    push_and_pull(&client, "meanwhile");
    let mut listed = follow(&client, path, "tags");
    listed.retain(|tag| tag != "meanwhile");
    let mut tags = tags;
    tags.sort_unstable();
    assert_eq!(listed, tags);
    server.assert_small();
    server.assert_at_rest();
    drop(streams);
    push_and_pull(&client, "afterwards");
    server.assert_at_rest();
}
