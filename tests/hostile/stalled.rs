//! Hundreds of bodies that stop in the middle: what was received stays in the server's memory, and must be
//! little.

use std::io::{BufReader, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use stowage::app::FREE_MANIFEST;
use stowage::http::body::{BATCH, BESIDE_A_BODY, LARGEST_BATCH, SMALL_BODY_FOR, manifest_time};
use stowage::http::distribution::MAX_FORM;
use stowage::limits::Resource;
use stowage::model::manifest::MAX_MANIFEST_SIZE;
use stowage::model::media_type::OCI_MANIFEST;

use crate::attack::{Load, PASSWORD, Site, Then, Who};
use crate::support::Client;
use crate::support::client::read_response;
use crate::support::content::{open_upload, sha256};

const MANIFEST: (&str, &str) = ("Content-Type", OCI_MANIFEST);
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
/// What clients send before they stop: more than any buffer on the way holds.
const SENT: usize = LARGEST_BATCH + 2 * BATCH;
const CRAWL: Then<'static> = Then::Trickle(b"x", Duration::from_millis(500));

/// A request that announces `length` bytes and sends `sent` of them.
fn cut_short(
    site: &Site,
    method: &str,
    path: &str,
    header: (&str, &str),
    length: usize,
    sent: usize,
) -> Vec<u8> {
    let length = length.to_string();
    let mut request = site.head(method, path, &[header, ("Content-Length", &length)]);
    request.resize(request.len() + sent, b'x');
    request
}

/// Bodies that are collected completely, from so many addresses that none reaches its limit.
const SMALL_BODIES: usize = 4000;

/// In an open registry the attacker uses this many addresses, each of which is a principal.
fn addresses(who: Who) -> usize {
    if who == Who::Open { 2 } else { 1 }
}

#[test]
fn uploads_that_stop_in_the_middle_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let most = site.limit(Resource::Bodies) * addresses(who);
        let uploads: Vec<String> = (0..most).map(|_| open_upload(&site.attacker, "team/stalled")).collect();
        let load = Load {
            name: "uploads that stop in the middle",
            connections: uploads.len(),
            addresses: addresses(who),
            accepted: uploads.len(),
            sends: &|number| cut_short(&site, "PATCH", &uploads[number], ("X", "y"), 100 * SENT, SENT),
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn blobs_in_one_request_that_stop_in_the_middle_cost_little_memory() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let most = site.limit(Resource::Bodies) * addresses(who);
        let path = format!("/v2/team/stalled/blobs/uploads/?digest={}", sha256(b"never"));
        let load = Load {
            name: "blobs in one request that stop in the middle",
            connections: most,
            addresses: addresses(who),
            accepted: most,
            sends: &|_| cut_short(&site, "POST", &path, ("X", "y"), 100 * SENT, SENT),
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn manifests_that_stop_in_the_middle_keep_no_large_manifest_out() {
    for who in Who::PUSHERS {
        for (name, sent) in [
            ("large manifests that stop after a byte", 1),
            (
                "large manifests that stop with their memory taken",
                usize::try_from(2 * FREE_MANIFEST).unwrap(),
            ),
        ] {
            let site = Site::start(who, "");
            let large = site.limit(Resource::ManifestBytes) / MAX_MANIFEST_SIZE;
            let load = Load {
                name,
                connections: 200,
                // Bodies that find no memory wait for it.
                accepted: 200.min(site.limit(Resource::Bodies)).max(large),
                sends: &|_| {
                    cut_short(&site, "PUT", "/v2/team/stalled/manifests/t", MANIFEST, MAX_MANIFEST_SIZE, sent)
                },
                then: CRAWL,
                // A body that holds memory and makes no progress is given up.
                refusals: &[400],
                ..Load::default()
            };
            site.under(&load).assert_held();
            site.server.assert_at_rest();
        }
    }
}

/// A load of bodies of `length` bytes that stop after `sent` of them. At least `accepted` of them must get
/// memory.
#[track_caller]
fn stop_small_bodies(
    who: Who,
    name: &str,
    method: &str,
    path: &str,
    kind: (&str, &str),
    [length, sent]: [usize; 2],
) {
    let site = Site::start(who, "");
    let load = Load {
        name,
        connections: SMALL_BODIES,
        addresses: SMALL_BODIES.div_ceil(site.limit(Resource::Bodies)),
        // The others are told to retry, the oldest of them first.
        accepted: site.limit(Resource::SmallBodyBytes)
            / (length + usize::try_from(BESIDE_A_BODY).expect("small")),
        sends: &|_| cut_short(&site, method, path, kind, length, sent),
        ..Load::default()
    };
    site.under(&load).assert_held();
    site.server.assert_at_rest();
}

#[test]
fn small_manifests_that_stop_before_their_end_cost_little_memory() {
    let length = usize::try_from(FREE_MANIFEST).unwrap();
    let path = "/v2/team/stalled/manifests/t";
    for (name, sent) in
        [("small manifests that stop before their end", length - 1), ("small manifests that stop at once", 1)]
    {
        stop_small_bodies(Who::Open, name, "PUT", path, MANIFEST, [length, sent]);
    }
}

#[test]
fn forms_that_stop_before_their_end_cost_little_memory() {
    for who in Who::ANYBODY {
        for (name, sent) in
            [("forms that stop before their end", MAX_FORM - 1), ("forms that stop at once", 1)]
        {
            stop_small_bodies(who, name, "POST", "/token", FORM, [MAX_FORM, sent]);
        }
    }
}

#[test]
fn forms_that_never_end_leave_half_of_the_connections_to_others() {
    for who in Who::ANYBODY {
        let site = Site::start(who, "[server]\nmax_connections = 200");
        let load = Load {
            name: "forms that never end, on every connection",
            connections: site.config.server.max_connections,
            accepted: site.limit(Resource::Connections),
            sends: &|_| cut_short(&site, "POST", "/token", FORM, MAX_FORM, MAX_FORM / 2),
            then: CRAWL,
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn a_form_that_never_ends_is_given_up() {
    let site = Site::beside_others(Who::Stranger);
    let load = Load {
        name: "forms that are given up",
        connections: 20,
        accepted: 20,
        sends: &|_| cut_short(&site, "POST", "/token", FORM, MAX_FORM, 100),
        then: CRAWL,
        refusals: &[400],
        ..Load::default()
    };
    let outcome = site.until_answered(&load);
    outcome.assert_held();
    assert_eq!(outcome.answered(400), load.connections);
}

/// Sends a byte again and again until the server answers; returns the status, and how long that took.
fn until_given_up(
    client: &Client,
    method: &str,
    path: &str,
    header: (&str, &str),
    body: usize,
) -> (u16, Duration) {
    // So long that its end is not reached in an hour.
    let length = (body + (8 << 10)).to_string();
    let mut request = client.head_of(method, path, &[header, ("Content-Length", &length)]).into_bytes();
    request.resize(request.len() + body, b' ');
    let mut stream = client.connect();
    stream.set_read_timeout(Some(2 * manifest_time(0))).expect("a socket option");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let begun = Instant::now();
    stream.write_all(&request).expect("it is sent");
    thread::scope(|scope| {
        let answer = scope.spawn(move || read_response(&mut reader, false).status);
        while !answer.is_finished() {
            // It fails when the server has closed the connection.
            let _ = stream.write_all(b" ");
            thread::sleep(Duration::from_millis(500));
        }
        (answer.join().expect("an answer"), begun.elapsed())
    })
}

#[test]
fn every_body_that_is_collected_whole_has_a_deadline() {
    let site = Site::beside_others(Who::User);
    let admin = site.server.client().basic("admin", PASSWORD);
    let small = usize::try_from(FREE_MANIFEST).unwrap() - (8 << 10);
    let manifest = "/v2/team/stalled/manifests/t";
    thread::scope(|scope| {
        for (client, method, path, header, body, deadline) in [
            (&admin, "POST", "/api/v1/users", ("Content-Type", "application/json"), 100, SMALL_BODY_FOR),
            (&site.attacker, "PUT", manifest, MANIFEST, small, manifest_time(FREE_MANIFEST)),
            // Once its memory is charged, it has less time.
            (&site.attacker, "PUT", manifest, MANIFEST, small + (16 << 10), Duration::from_secs(5)),
        ] {
            scope.spawn(move || {
                let (status, took) = until_given_up(client, method, path, header, body);
                assert_eq!(status, 400, "{method} {path} with {body} bytes");
                assert!(took >= deadline, "{method} {path} with {body} bytes: {took:?}");
            });
        }
    });
    site.server.assert_at_rest();
}
