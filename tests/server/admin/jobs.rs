//! `stowage fsck` while the server works, and the job that it is there.

use std::fs;
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use stowage::wire::{Job, JobKind, JobState, List, NewCheck, OpenEnum, Problem};

use crate::admin::program::{PASSWORD, Place, Server};
use crate::support::client::read_response;
use crate::support::{Client, content};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn start(admin: &Client, deep: bool) -> crate::support::Response {
    admin.send("POST", "/api/v1/checks", JSON, json!(NewCheck { deep }).to_string().as_bytes())
}

fn blob_file(place: &Place, content: &[u8]) -> PathBuf {
    let digest = content::sha256(content);
    let hex = digest.strip_prefix("sha256:").unwrap();
    place.data().join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// Checks that run beside changes.
const CHECKS: usize = 10;

/// A server with a blob so large that a deep check takes a while.
fn with_much(place: &Place) -> (Server, Client) {
    let (server, admin) = place.serve_with_admin();
    content::push_blob(&admin, "team/big", &content::bytes(7, 192 << 20));
    (server, admin)
}

#[test]
fn a_check_by_the_server_says_what_one_without_it_says() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer one");
    content::push_image(&admin, "team/other", "1", b"layer two");
    let online = place.run(&["fsck", "--deep", "--json"]).expect(0).json();
    assert_eq!((&online["ok"], &online["data"]["checked"]["blobs"]), (&json!(true), &json!(3)));
    place.run(&["fsck"]).expect(0);

    let mut file = fs::OpenOptions::new().write(true).open(blob_file(&place, b"layer one")).unwrap();
    file.seek(SeekFrom::Start(3)).unwrap();
    file.write_all(b"X").unwrap();
    drop(file);
    fs::remove_file(blob_file(&place, b"layer two")).unwrap();
    let online = place.run(&["fsck", "--deep", "--json"]).expect(7).json();
    assert_eq!(online["ok"], json!(false));
    let problems = online["data"]["problems"].as_array().unwrap();
    let kinds: Vec<&str> = problems.iter().map(|problem| problem["kind"].as_str().unwrap()).collect();
    assert!(kinds.len() == 2 && kinds.contains(&"blob_content") && kinds.contains(&"blob_file_missing"));
    // The deep check has hidden both blobs, so that a push stores them again; from then on they are known as
    // damaged.
    let text = place.run(&["fsck"]).expect(7).stdout;
    assert!(text.contains("team/app:1\n  team/other:1\n") && text.ends_with("2 problems\n"), "{text}");
    let online = place.run(&["fsck", "--deep", "--json"]).expect(7).json();

    let log = server.stop();
    assert!(log.contains("a check started") && log.contains("\"by\":\"unix:"), "{log}");
    let offline = place.run(&["fsck", "--deep", "--json"]).expect(7).json();
    assert_eq!(online, offline);
}

#[test]
fn what_changes_during_a_check_is_no_damage() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for layer in 0..40_u8 {
        content::push_image(&admin, &format!("team/app-{}", layer % 4), &format!("v{layer}"), &[layer]);
    }
    let done = AtomicBool::new(false);
    let rounds = [const { AtomicUsize::new(0) }; 3];
    std::thread::scope(|scope| {
        for (worker, rounds) in (0_u8..).zip(&rounds) {
            let (admin, done) = (&admin, &done);
            scope.spawn(move || {
                let mut round = 0_u8;
                while !done.load(Ordering::Acquire) {
                    round = round.wrapping_add(1);
                    rounds.fetch_add(1, Ordering::AcqRel);
                    // The last repository is used by the first worker only, which deletes it from time to
                    // time.
                    let name = format!("team/app-{}", round % if worker == 0 { 6 } else { 5 });
                    let tag = format!("w{worker}");
                    content::push_image(admin, &name, &tag, &[worker, round]);
                    if round.is_multiple_of(5) {
                        admin.delete(&format!("/api/v1/repositories/{name}/-/tags/{tag}"));
                    }
                    if worker == 0 && round.is_multiple_of(23) {
                        admin.delete("/api/v1/repositories/team/app-5");
                    }
                }
            });
        }
        let mut found: Option<Job> = None;
        let mut checks = 0;
        // Each worker has deleted some tags, and the first one its repository.
        let worked = || rounds.iter().all(|rounds| rounds.load(Ordering::Acquire) > 3 * 23);
        while (checks < CHECKS || !worked()) && found.is_none() {
            checks += 1;
            let job = start(&admin, true).expect(202);
            let job: Job = admin.get(&format!("{}?wait=30s", job.location())).expect(200).read();
            if job.state != JobState::Done || job.problems > 0 || job.result.is_none() {
                found = Some(job);
            }
        }
        done.store(true, Ordering::Release);
        assert_eq!(found, None);
    });
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn a_job_tells_how_far_it_is_and_ends_when_it_is_asked_to() {
    let place = Place::new();
    let (_server, admin) = with_much(&place);
    let begun = start(&admin, true).expect(202);
    let (place_of_job, begun) = (begun.location(), begun.read::<Job>());
    assert_eq!((begun.state, begun.kind), (JobState::Running.into(), JobKind::Check.into()));
    assert_eq!(begun.by, "admin");
    let second: Problem = start(&admin, false).expect(409).read();
    assert_eq!(second.code, "CHECK_RUNS");
    assert!(second.detail.contains(&begun.id.to_string()), "{second:?}");
    admin.send("POST", &format!("{place_of_job}/cancel"), &[], b"").expect(202);
    let ended: Job = admin.get(&format!("{place_of_job}?wait=30s")).expect(200).read();
    assert_eq!((&ended.state, &ended.result), (&JobState::Cancelled.into(), &None));
    assert!(ended.ended_at.is_some(), "{ended:?}");
    // A job that has ended makes room for another one.
    let other = start(&admin, false).expect(202).location();
    let other: Job = admin.get(&format!("{other}?wait=30s")).expect(200).read();
    assert_eq!(other.state, JobState::Done);
    let listed: List<Job> = admin.get("/api/v1/jobs").expect(200).read();
    let states: Vec<OpenEnum<JobState>> = listed.items.into_iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Done, JobState::Cancelled]);
    for unknown in ["x", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(admin.get(&format!("/api/v1/jobs/{unknown}")).expect(404).json()["code"], "JOB_UNKNOWN");
    }
    assert_eq!(
        admin.get(&format!("/api/v1/jobs/{}?wait=soon", other.id)).expect(400).json()["code"],
        "WAIT_INVALID"
    );
}

/// The events of a stream: the name and the data of each.
fn events(response: &crate::support::Response) -> Vec<(String, Value)> {
    let text = str::from_utf8(&response.body).unwrap();
    let parts = text.split_terminator("\n\n").filter(|part| *part != ":");
    let event = |part: &str| {
        let (name, data) = part.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    };
    parts.map(event).collect()
}

#[test]
fn a_job_is_followed_by_events_until_its_end() {
    let place = Place::new();
    let (server, admin) = with_much(&place);
    let job = start(&admin, true).expect(202).location();
    let response = admin.get(&format!("{job}/events")).expect(200);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let told = events(&response);
    assert_eq!(told[0].0, "progress");
    let said = |told: &[(String, Value)]| -> Vec<Value> {
        told.iter().filter(|(name, _)| name == "log").map(|(_, line)| line["text"].clone()).collect()
    };
    let lines = said(&told);
    assert!(lines.contains(&json!("looks at blobs")), "{lines:?}");
    assert_eq!(lines.last(), Some(&json!("found 0 problems")));
    let ended = admin.get(&job).expect(200).json();
    assert_eq!((&ended["state"], told.last()), (&json!("done"), Some(&("end".to_owned(), ended.clone()))));
    // One that has ended, from memory and from its rows.
    let again = events(&admin.get(&format!("{job}/events")).expect(200));
    assert_eq!((said(&again), again.last()), (lines.clone(), told.last()));
    server.stop();
    let server = place.serve();
    let admin = admin.at(server.address);
    let stored = events(&admin.get(&format!("{job}/events")).expect(200));
    assert_eq!((said(&stored), stored.last()), (lines, told.last()));
    for unknown in ["x", "00000000-0000-4000-8000-000000000000"] {
        let problem: Problem = admin.get(&format!("/api/v1/jobs/{unknown}/events")).expect(404).read();
        assert_eq!(problem.code, "JOB_UNKNOWN");
    }
    place.add("hanna");
    server.client().basic("hanna", PASSWORD).get(&format!("{job}/events")).expect(403);
}

#[test]
fn a_check_does_not_keep_the_server_from_stopping() {
    let place = Place::new();
    let (server, admin) = with_much(&place);
    let job = start(&admin, true).expect(202).location();
    let mut waiting = admin.connect();
    waiting.write_all(admin.head_of("GET", &format!("{job}?wait=1m"), &[]).as_bytes()).unwrap();
    let mut following = admin.connect();
    following.write_all(admin.head_of("GET", &format!("{job}/events"), &[]).as_bytes()).unwrap();
    // Each worker has answered a later request, so the request for the job is in progress.
    for _ in 0..4 * std::thread::available_parallelism().map_or(1, usize::from) {
        admin.get("/v2/").expect(200);
    }
    let log = server.stop();
    let ended: Job = read_response(&mut BufReader::new(waiting), false).expect(200).read();
    assert_eq!(ended.state, JobState::Cancelled);
    let told = events(&read_response(&mut BufReader::new(following), false).expect(200));
    let (name, last) = told.last().unwrap();
    assert_eq!((&**name, &last["state"]), ("end", &json!("cancelled")));
    assert!(log.contains("the check was cancelled"), "{log}");
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn checks_are_for_admins_and_their_tokens() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    place.add("hanna");
    let hanna = server.client().basic("hanna", PASSWORD);
    start(&hanna, false).expect(403);
    hanna.get("/api/v1/jobs").expect(403);
    let token = |scopes: &str| {
        let made = ["token", "create", "admin", "--name", scopes, "--scopes", scopes];
        let secret = place.run(&made).expect(0).stdout;
        server.client().authorization(&format!("Bearer {}", secret.trim()))
    };
    let (reads, changes) = (token("read_api"), token("api"));
    let job = start(&changes, false).expect(202).location();
    reads.get(&format!("{job}?wait=30s")).expect(200);
    let refused: Problem = start(&reads, false).expect(403).read();
    assert_eq!(
        refused.detail,
        "this token may not change anything through the API: that needs the scope api"
    );
    reads.send("POST", &format!("{job}/cancel"), &[], b"").expect(403);
    admin.get("/api/v1/jobs").expect(200);
}

#[test]
fn progress_is_told_as_events_where_it_is_asked_for() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    let last = |ran: &crate::admin::program::Ran| -> Value {
        serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
    };
    let ran = place.run(&["fsck", "-o", "ndjson"]).expect(0);
    let result = last(&ran);
    assert_eq!(
        (&result["event"], &result["ok"], &ran.stderr),
        (&json!("result"), &json!(true), &String::new())
    );
    let ran = place.run(&["user", "show", "absent", "-o", "ndjson"]).expect(5);
    assert_eq!(
        (&last(&ran)["event"], &last(&ran)["error"]["code"]),
        (&json!("result"), &json!("USER_UNKNOWN"))
    );
    server.stop();
    assert_eq!(last(&place.run(&["fsck", "-o", "ndjson"]).expect(0)), result);
}
