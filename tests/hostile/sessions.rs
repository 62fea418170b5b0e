//! Many requests for one upload session, and sessions that are opened and abandoned.

use std::io::{BufReader, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use stowage::http::body::FREE;
use stowage::limits::Resource;
use stowage::server::LARGEST_HEAD;

use crate::attack::{Flood, HONEST_PATIENCE, Load, Site, Then, Who};
use crate::support::client::read_response;
use crate::support::content::{bytes, close_upload, open_upload, sha256};

/// A request that keeps its session sends this often: less often, it would count as silent.
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
        // As many digests as fit into a head.
        let again = format!("&digest={}", digests[1]);
        let repeated = again.repeat((LARGEST_HEAD - 1024) / again.len());
        let uploads: Vec<String> = (0..20)
            .map(|_| {
                let upload = open_upload(&site.attacker, "team/digests");
                site.attacker.patch(&upload, &content).expect(202);
                upload
            })
            .collect();
        let load = Load {
            name: "closing PUTs that repeat a digest",
            connections: uploads.len(),
            accepted: uploads.len(),
            sends: &|number| {
                let path = format!("{}?digest={}{repeated}", uploads[number], digests[0]);
                site.head("PUT", &path, &[("Content-Length", "0")])
            },
            ..Load::default()
        };
        site.until_answered(&load).assert_held();
        // Another repository's push of the same blob did not have to wait either.
        let mount = format!("/v2/team/other/blobs/uploads/?mount={}&from=team/digests", digests[0]);
        site.honest.post(&mount, b"").expect(201);
        let upload = open_upload(&site.attacker, "team/digests");
        close_upload(&site.attacker, &upload, &digests[0], &content).expect(201);
    }
}

#[test]
fn sessions_by_the_thousand_are_limited_and_cost_little_memory() {
    const AHEAD: usize = 64;
    for who in Who::PUSHERS {
        let site = Site::start(who, "");
        let limit = site.limit(Resource::UploadSessions);
        // The algorithm with the largest hash state.
        let head = site.head(
            "POST",
            "/v2/team/sessions/blobs/uploads/?digest-algorithm=blake3",
            &[("Content-Length", "0")],
        );
        let senders = 2;
        let rounds = (4 * limit).div_ceil(AHEAD * senders);
        let flood = Flood {
            name: "upload sessions that are left",
            senders,
            accepted: rounds * AHEAD * senders,
            refusals: &[],
            work: &|_, tally| {
                let mut stream = BufReader::new(site.attacker.connect());
                for _ in 0..rounds {
                    stream.get_mut().write_all(&head.repeat(AHEAD)).expect("the server reads");
                    (0..AHEAD).for_each(|_| tally.tell(read_response(&mut stream, false).status));
                }
            },
        };
        site.flooded(&flood).assert_held();
        let open = site.open_uploads();
        assert!(open <= limit, "{open} sessions of {limit} are open");
        site.server.assert_at_rest();
    }
}

#[test]
fn a_start_after_uploads_and_bare_repositories_by_the_thousand_keeps_nobody_waiting() {
    const MANY: usize = 2_000;
    let mut site = Site::start(Who::User, &format!("[limits]\nupload_sessions = {}", 3 * MANY));
    let uploads = Mutex::new(Vec::new());
    let flood = Flood {
        name: "uploads and bare repositories",
        senders: 4,
        accepted: 3 * MANY,
        refusals: &[],
        work: &|sender, tally| {
            let mut stream = BufReader::new(site.attacker.connect());
            let mut ask = |method: &str, path: &str, body: &[u8]| {
                let length = body.len().to_string();
                let mut sent = site.head(method, path, &[("Content-Length", &length)]);
                sent.extend(body);
                stream.get_mut().write_all(&sent).expect("the server reads");
                let answer = read_response(&mut stream, false).expect(202);
                tally.tell(answer.status);
                answer.location()
            };
            for number in (sender..MANY).step_by(4) {
                ask("POST", &format!("/v2/bare/repository-{number}/blobs/uploads/"), b"");
                let upload = ask("POST", "/v2/team/uploads/blobs/uploads/", b"");
                uploads.lock().unwrap().push(ask("PATCH", &upload, b"x"));
            }
        },
    };
    site.flooded(&flood).assert_held();
    let took = site.kill_and_start();
    assert!(took < HONEST_PATIENCE, "the start took {took:?}");
    let uploads = uploads.into_inner().unwrap();
    let flood = Flood {
        name: "the same uploads after a kill and a start",
        senders: 1,
        accepted: MANY,
        refusals: &[],
        work: &|_, tally| uploads.iter().for_each(|upload| tally.tell(site.attacker.get(upload).status)),
    };
    site.flooded(&flood).assert_held();
    site.server.assert_at_rest();
}
