//! Responses that the client does not read.

use serde_json::json;
use stowage::http::range::MAX_PARTS;
use stowage::model::manifest::MAX_MANIFEST_SIZE;
use stowage::model::media_type::{OCI_CONFIG, OCI_MANIFEST};

use crate::attack::{Load, Site, Then, Who};
use crate::support::content::{bytes, descriptor, push_blob, push_image, push_manifest};

#[test]
fn requests_sent_ahead_without_reading_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        push_image(&site.attacker, "team/app", "t", b"layer");
        let load = Load {
            name: "requests sent ahead, answers not read",
            connections: 100,
            accepted: 100,
            sends: &|_| site.head("GET", "/v2/team/app/manifests/t", &[]).repeat(200),
            then: Then::Deaf,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn large_manifests_that_nobody_reads_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        push_blob(&site.attacker, "team/app", b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, b"{}"), "layers": [],
            "annotations": { "a": "x".repeat(MAX_MANIFEST_SIZE - 1000) },
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        push_manifest(&site.attacker, "team/app", "large", OCI_MANIFEST, &manifest);
        let load = Load {
            name: "large manifests that are not read",
            connections: 200,
            accepted: 200,
            sends: &|_| site.head("GET", "/v2/team/app/manifests/large", &[]).repeat(2),
            then: Then::Deaf,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn large_blobs_that_nobody_reads_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let digest = push_blob(&site.attacker, "team/app", &bytes(1, 16 << 20));
        let load = Load {
            name: "large blobs that are not read",
            connections: 200,
            accepted: 200,
            sends: &|_| site.head("GET", &format!("/v2/team/app/blobs/{digest}"), &[]),
            then: Then::Deaf,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn thousands_of_ranges_that_nobody_reads_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let digest = push_blob(&site.attacker, "team/app", &bytes(1, 16 << 20));
        let range = format!("bytes={}", vec!["1-2"; MAX_PARTS].join(","));
        let load = Load {
            name: "blobs in thousands of parts that are not read",
            connections: 200,
            accepted: 200,
            sends: &|_| site.head("GET", &format!("/v2/team/app/blobs/{digest}"), &[("Range", &range)]),
            then: Then::Deaf,
            ..Load::default()
        };
        let outcome = site.under(&load);
        outcome.assert_held();
        assert_eq!(outcome.answered(206), load.connections);
        site.server.assert_at_rest();
    }
}
