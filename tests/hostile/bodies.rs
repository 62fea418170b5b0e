//! Bodies that arrive slowly, in tiny chunks, or not at all.

use std::time::Duration;

use stowage::app::FREE_MANIFEST;
use stowage::http::body::{BATCH, COLLECT, CRUMB, FREE, MANY_CHUNKS};
use stowage::http::distribution::MAX_FORM;
use stowage::limits::Resource;
use stowage::model::media_type::OCI_MANIFEST;

use crate::attack::{Load, Site, Then, Who};
use crate::support::content::{bytes, open_upload, sha256};

const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");
const MANIFEST: (&str, &str) = ("Content-Type", OCI_MANIFEST);
/// A read of the server may end within a chunk, which splits it in two.
const SMALLEST: usize = 2 * CRUMB;
/// A byte every half second.
const CRAWL: Then<'static> = Then::Trickle(b"x", Duration::from_millis(500));

/// A body of `count` chunks of `size` bytes each, without an end.
fn chunks(count: usize, size: usize) -> Vec<u8> {
    format!("{size:x}\r\n{}\r\n", "x".repeat(size)).into_bytes().repeat(count)
}

#[test]
fn two_hundred_slow_uploads_keep_nobody_out() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let uploads: Vec<String> = (0..200).map(|_| open_upload(&site.attacker, "team/slow")).collect();
        let load = Load {
            name: "slow uploads",
            connections: uploads.len(),
            accepted: uploads.len(),
            sends: &|number| {
                let mut sent = site.head("PATCH", &uploads[number], &[("Content-Length", "10000000")]);
                // Every second body has sent so much that it needs a slot.
                sent.resize(sent.len() + FREE * (number % 2), b'x');
                sent
            },
            then: CRAWL,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn whole_blobs_in_one_request_cost_little_memory() {
    let collected = usize::try_from(COLLECT).unwrap();
    for (who, size, name) in [
        (Who::Open, collected, "the largest blobs that are collected"),
        (Who::User, collected, "the largest blobs that are collected"),
        (Who::Open, 2 * collected, "blobs of 1 MiB in one request"),
    ] {
        let site = Site::start(who, "");
        let addresses = if who == Who::Open { 4 } else { 1 };
        let connections = 300 * addresses;
        let blob = bytes(1, size);
        let path = format!("/v2/team/whole/blobs/uploads/?digest={}", sha256(&blob));
        let length = size.to_string();
        let sent = [&site.head("POST", &path, &[("Content-Length", &length)]), &blob[..]].concat();
        let load = Load {
            name,
            connections,
            addresses,
            accepted: connections,
            sends: &|_| sent.clone(),
            then: Then::Again,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn uploads_in_small_chunks_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let uploads: Vec<String> = (0..100).map(|_| open_upload(&site.attacker, "team/crumbs")).collect();
        let load = Load {
            name: "uploads in the smallest chunks",
            connections: uploads.len(),
            accepted: uploads.len(),
            sends: &|number| {
                let mut sent = site.head("PATCH", &uploads[number], &[CHUNKED]);
                sent.extend(chunks(20 * MANY_CHUNKS, SMALLEST));
                sent
            },
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn crumbs_are_refused_and_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let uploads: Vec<String> = (0..100).map(|_| open_upload(&site.attacker, "team/crumbs")).collect();
        let load = Load {
            name: "uploads and manifests in crumbs",
            connections: 2 * uploads.len(),
            sends: &|number| {
                let mut sent = match uploads.get(number) {
                    Some(upload) => site.head("PATCH", upload, &[CHUNKED]),
                    None => site.head("PUT", "/v2/team/crumbs/manifests/t", &[CHUNKED, MANIFEST]),
                };
                sent.extend(chunks(50 * MANY_CHUNKS, CRUMB / 16));
                sent
            },
            refusals: &[400],
            ..Load::default()
        };
        let outcome = site.under(&load);
        outcome.assert_held();
        assert!(outcome.answered(400) > 0, "crumbs are what is refused");
        site.server.assert_at_rest();
    }
}

#[test]
fn slow_small_manifests_keep_nobody_out() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let load = Load {
            name: "slow small manifests",
            connections: 200,
            accepted: 200,
            sends: &|_| {
                let length = FREE_MANIFEST.to_string();
                site.head("PUT", "/v2/team/slow/manifests/t", &[MANIFEST, ("Content-Length", &length)])
            },
            then: CRAWL,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn forms_that_never_end_keep_nobody_out() {
    for who in Who::ANYBODY {
        let site = Site::start(who, "");
        let connections = site.limit(Resource::Connections).min(2000);
        let load = Load {
            name: "forms that never end",
            connections,
            // The others are told to retry.
            accepted: connections.min(site.limit(Resource::Bodies)),
            sends: &|_| {
                let kind = ("Content-Type", "application/x-www-form-urlencoded");
                let length = MAX_FORM.to_string();
                let mut sent = site.head("POST", "/token", &[kind, ("Content-Length", &length)]);
                sent.resize(sent.len() + MAX_FORM - 100, b'x');
                sent
            },
            then: CRAWL,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn uploads_without_an_end_stop_at_the_limit_of_their_principal() {
    const STAGED_MIB: usize = 64;
    const STAGED: usize = STAGED_MIB << 20;
    for who in Who::PUSHERS {
        let site = Site::start(who, &format!("[limits]\nstaged = \"{STAGED_MIB}MiB\""));
        let uploads: Vec<String> = (0..8).map(|_| open_upload(&site.attacker, "team/endless")).collect();
        let piece = chunks(1, BATCH);
        let load = Load {
            name: "uploads without an end",
            connections: uploads.len(),
            // Each is refused once all of them reach the limit, but is accepted until then.
            sends: &|number| [&site.head("PATCH", &uploads[number], &[CHUNKED]), &piece[..]].concat(),
            then: Then::Trickle(&piece, Duration::ZERO),
            ..Load::default()
        };
        let outcome = site.until_answered(&load);
        outcome.assert_held();
        assert_eq!(outcome.limited, uploads.len(), "none goes on");
        assert!(site.staged() <= STAGED, "{} bytes", site.staged());
        let sent = site.staged() / uploads.len();
        assert!(sent > BATCH, "they were taken before: {sent} bytes each");
        site.server.assert_at_rest();
    }
}
