//! Lists that many clients request at once, or do not read.

use std::fmt::Write as _;

use serde_json::{Value, json};
use stowage::model::manifest::{MAX_MANIFEST_SIZE, MAX_REFERENCES};
use stowage::model::media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_NONDISTRIBUTABLE};

use crate::attack::{Flood, Load, Outcome, PASSWORD, Site, Then, Who};
use crate::support::content::{descriptor, image, index, push_blob, push_manifest, put_manifest, sha256};
use crate::support::{Client, Response};

/// Clients that request at once.
const CLIENTS: usize = 300;
/// The subject of all referrers here.
const SUBJECT: &[u8] = b"subject";

fn path_of_referrers() -> String {
    format!("/v2/team/app/referrers/{}", sha256(SUBJECT))
}

/// Requests a list over many connections at once.
#[track_caller]
fn ask(site: &Site, name: &str, path: &str, then: Then<'_>) -> Outcome {
    let load = Load {
        name,
        connections: CLIENTS,
        accepted: CLIENTS,
        sends: &|_| site.head("GET", path, &[]),
        then,
        ..Load::default()
    };
    let outcome = if matches!(then, Then::Deaf) { site.under(&load) } else { site.until_answered(&load) };
    outcome.assert_held();
    assert!(outcome.answered(200) > 0, "some are answered with the list");
    site.server.assert_at_rest();
    outcome
}

/// Pushes a referrer with these annotations and the most layers that a manifest may have; the layers are
/// foreign.
fn refer(client: &Client, annotations: &Value, layers: usize) -> String {
    push_blob(client, "team/app", b"{}");
    let layer = |number: usize| {
        // Each as long as possible, so that all of them fit.
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

/// Every entry of a list, over all pages.
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
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        for number in 0..12 {
            refer(&site.attacker, &json!({ "n": number.to_string() }), MAX_REFERENCES - 1);
        }
        let outcome = ask(&site, "lists of 12 referrers of 4 MB", &path_of_referrers(), Then::Wait);
        assert_eq!(outcome.answered(200), CLIENTS);
        let listed = follow(&site.attacker, &path_of_referrers(), "manifests");
        assert_eq!(listed.len(), 12);
        assert!(listed.iter().all(|entry| entry["annotations"]["n"].is_string()), "{listed:?}");
    }
}

#[test]
fn long_annotations_that_nobody_reads_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let text = "x".repeat(MAX_MANIFEST_SIZE - 400_000);
        refer(&site.attacker, &json!({ "a": text }), 0);
        let listed = site.attacker.get(&path_of_referrers()).expect(200).json();
        assert!(listed["manifests"][0]["annotations"]["a"] == text, "long annotations are listed");
        ask(&site, "lists with 3.8 MB of annotations, not read", &path_of_referrers(), Then::Deaf);
    }
}

#[test]
fn long_annotations_are_read_a_few_at_a_time_and_all_are_listed() {
    let site = Site::start(Who::Open, "");
    let client = &site.attacker;
    let text = "x".repeat(stowage::registry::SHORT_ANNOTATIONS);
    for number in 0..6 {
        refer(client, &json!({ "a": text, "n": number.to_string() }), MAX_REFERENCES / 2);
    }
    // For a page at most two manifests of half the size are read.
    assert_eq!(client.get(&path_of_referrers()).expect(200).json()["manifests"].as_array().unwrap().len(), 2);
    let listed = follow(client, &path_of_referrers(), "manifests");
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|entry| entry["annotations"]["a"] == text));
}

/// Sets this many tags of 128 characters on one manifest.
fn tag(client: &Client, count: usize) -> (String, Vec<String>) {
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    let mut tags: Vec<String> = (0..count).map(|number| format!("{number:x>128}")).collect();
    for tags in tags.chunks(64) {
        let mut path = sha256(body);
        for (index, tag) in tags.iter().enumerate() {
            let _ = write!(path, "{}tag={tag}", if index == 0 { '?' } else { '&' });
        }
        put_manifest(client, "team/app", &path, OCI_INDEX, body).expect(201);
    }
    tags.sort_unstable();
    (sha256(body), tags)
}

#[test]
fn long_lists_of_tags_that_nobody_reads_cost_little_memory_and_go_in_slices() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let (digest, tags) = tag(&site.attacker, 6_000);
        let path = "/v2/team/app/tags/list";
        ask(&site, "lists of 6,000 tags, not read", path, Then::Deaf);
        assert_eq!(follow(&site.attacker, path, "tags"), tags);

        // All tags are deleted with their manifest, while others push.
        let deletes = match who {
            Who::Open => site.attacker.clone(),
            // The user's token may not delete; the admin's password may.
            _ => site.server.client().basic("admin", PASSWORD),
        };
        let flood = Flood {
            name: "a manifest with 6,000 tags is deleted",
            senders: 1,
            accepted: 1,
            refusals: &[],
            work: &|_, tally| tally.tell(deletes.delete(&format!("/v2/team/app/manifests/{digest}")).status),
        };
        site.flooded(&flood).assert_held();
        let left = site.attacker.get(path);
        assert!(left.status == 404 || left.json()["tags"] == json!([]), "{left:?}");
    }
}

#[test]
fn sizes_of_tags_of_large_indexes_keep_nobody_out() {
    let site = Site::start(Who::Open, "");
    let client = &site.attacker;
    push_blob(client, "team/app", b"{}");
    let images: Vec<Vec<u8>> = (0..20_u32)
        .map(|number| {
            let layer = number.to_le_bytes();
            push_blob(client, "team/app", &layer);
            let image = image(&[&layer]);
            push_manifest(client, "team/app", &sha256(&image), OCI_MANIFEST, &image);
            image
        })
        .collect();
    for number in 0..10 {
        // The first image comes more often in each, so that all differ.
        let listed = std::iter::repeat_n(&images[0], number).chain(&images);
        let index = index(&listed.map(Vec::as_slice).collect::<Vec<_>>());
        push_manifest(client, "team/app", &format!("v{number}"), OCI_INDEX, &index);
    }
    let path = "/api/v1/repositories/team/app/-/sizes";
    ask(&site, "sizes of 10 tags of 20 images each", path, Then::Wait);
    let list = client.get(path).expect(200).json();
    let sizes = list["items"].as_array().expect("a list");
    // All images are shared; the config is in each.
    assert!(sizes.iter().all(|size| size["unique_bytes"] == 0 && size["shared_bytes"] == 20 * 4 + 2));
    assert_eq!(sizes.len(), 10);
}
