//! Thousands of large blobs that clients request and do not read, plain and with TLS.

use rcgen::KeyPair;
use stowage::limits::Resource;

use crate::attack::{Load, Site, Then, Who};
use crate::support::content::{bytes, push_blob};

/// As many connections as one user may have.
fn hold(site: &Site, name: &str) {
    let digest = push_blob(&site.attacker, "team/app", &bytes(1, 16 << 20));
    let connections = site.limit(Resource::UserConnections);
    let load = Load {
        name,
        connections,
        accepted: connections,
        sends: &|_| site.head("GET", &format!("/v2/team/app/blobs/{digest}"), &[]),
        then: Then::Deaf,
        tls: site.tls.clone(),
        ..Load::default()
    };
    site.under(&load).assert_held();
    site.server.assert_at_rest();
}

#[test]
fn thousands_of_large_blobs_that_are_not_read_cost_little_memory() {
    for who in Who::PUSHERS {
        hold(&Site::start(who, ""), "many large blobs that are not read");
    }
}

#[test]
fn thousands_of_large_blobs_that_are_not_read_cost_little_memory_within_tls() {
    for who in Who::PUSHERS {
        let site = Site::over_tls(who, &KeyPair::generate().unwrap());
        hold(&site, "many large blobs that are not read, TLS");
    }
}
