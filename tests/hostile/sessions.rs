//! Many requests for one upload session, and sessions that are opened and left.

use std::io::Write as _;
use std::time::Duration;

use stowage::http::body::FREE;

use crate::attack::{Load, Site, Then, Who};
use crate::support::content::{bytes, close_upload, open_upload, sha256};

/// A request that keeps its session sends this often: more seldom it would be taken for silent.
const STEADY: Duration = Duration::from_millis(300);

#[test]
fn requests_for_a_busy_session_are_refused_at_once_and_hold_no_place() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let upload = open_upload(&site.attacker, "team/busy");
        let mut writer = site.attacker.connect();
        let length = (1_u64 << 30).to_string();
        let head = site.attacker.head_of("PATCH", &upload, &[("Content-Length", &length)]);
        writer.write_all(head.as_bytes()).expect("the server reads");
        let piece = vec![b'x'; 16 * FREE];
        writer.write_all(&piece).expect("the server reads");
        let places = site.config.registry.max_concurrent_uploads;
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) && writer.write_all(&piece).is_ok() {
                    std::thread::sleep(STEADY);
                }
            });
            let load = Load {
                name: "bodies for one busy session",
                connections: 4 * places,
                accepted: 4 * places,
                sends: &|_| {
                    let mut sent = site.head("PATCH", &upload, &[("Content-Length", "1000000")]);
                    sent.resize(sent.len() + 2 * FREE, b'x');
                    sent
                },
                then: Then::Wait,
                refusals: &[416],
                ..Load::default()
            };
            site.until_answered(&load).assert_held();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        site.server.assert_small();
    }
}

#[test]
fn a_closing_put_that_repeats_a_digest_holds_nobody_up() {
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let content = bytes(1, 4 << 20);
        let digests = [sha256(&content), crate::support::content::sha512(&content)];
        let repeated = format!("&digest={}", digests[1]).repeat(150);
        let uploads: Vec<String> = (0..20)
            .map(|_| {
                let upload = open_upload(&site.attacker, "team/digests");
                site.attacker.patch(&upload, &content).expect(202);
                upload
            })
            .collect();
        let load = Load {
            name: "closing PUTs with 150 digests",
            connections: uploads.len(),
            accepted: uploads.len(),
            sends: &|number| {
                let path = format!("{}?digest={}{repeated}", uploads[number], digests[0]);
                site.head("PUT", &path, &[("Content-Length", "0")])
            },
            ..Load::default()
        };
        site.until_answered(&load).assert_held();
        let upload = open_upload(&site.attacker, "team/digests");
        close_upload(&site.attacker, &upload, &digests[0], &content).expect(201);
    }
}
