//! The scrub through the API and the command line: what has changed on the disk is found, hidden, told with
//! the images that need it, and healed by a push; a run that was ended is continued.

use std::fs;

use serde_json::{Value, json};
use stowage::model::digest::Digest;
use stowage::model::media_type::OCI_MANIFEST;
use stowage::store::meta::{Raw, StoreError, schema};
use stowage::store::open::Store;
use stowage::wire::{Damaged, Finding, Job, JobResult, JobState, List, Problem, ScrubStatus, Scrubbed};

use crate::admin::program::{PASSWORD, Place, Server};
use crate::support::{Client, content, eventually};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
/// A scrub that reads one of the blobs below in a second.
const SLOW: &[(&str, &str)] = &[("STOWAGE__STORAGE__SCRUB__IO_LIMIT", "64KiB")];
const BLOB: usize = 64 << 10;
const BLOBS: u64 = 12;

fn start(admin: &Client, body: &Value) -> Job {
    admin.send("POST", "/api/v1/scrub/runs", JSON, body.to_string().as_bytes()).expect(202).read()
}

fn ended(admin: &Client, job: &Job) -> Job {
    admin.get(&format!("/api/v1/jobs/{}?wait=1m", job.id)).expect(200).read()
}

/// Runs a scrub to its end; what it has found.
fn scrub(admin: &Client, body: &Value) -> Scrubbed {
    let job = ended(admin, &start(admin, body));
    assert_eq!(job.state, JobState::Done);
    found(&job).clone()
}

fn found(job: &Job) -> &Scrubbed {
    match &job.result {
        Some(JobResult::Scrub(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn status(admin: &Client) -> ScrubStatus {
    admin.get("/api/v1/scrub").expect(200).read()
}

fn quarantine(admin: &Client) -> Vec<Damaged> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/scrub/quarantine?limit=1{cursor}");
        let part: List<Damaged> = admin.get(&path).expect(200).read();
        all.extend(part.items);
        let Some(next) = part.next_cursor else { return all };
        cursor = format!("&cursor={next}");
    }
}

/// Changes a byte of a blob's file, whose size stays.
fn flip(place: &Place, digest: &str) {
    let mut bytes = fs::read(place.blob(digest)).unwrap();
    bytes[0] ^= 1;
    fs::write(place.blob(digest), bytes).unwrap();
}

/// Changes a byte of a manifest in a store that no server has open.
fn flip_manifest(place: &Place, manifest: &[u8]) {
    let digest: Digest = content::sha256(manifest).parse().unwrap();
    let mut body = manifest.to_vec();
    body[0] ^= 1;
    let store = Store::offline(&place.data(), &place.data()).unwrap();
    let change = store.meta.write(move |tx| tx.put(&schema::MANIFEST_BODY, &digest, &Raw(body.clone())));
    let changed: Result<(), StoreError> = store.runtime.block_on(change);
    changed.unwrap();
    store.close();
}

/// A server with blobs, each of which takes a slow scrub a second.
fn with_blobs(place: &Place) -> (Server, Client) {
    let (server, admin) = place.serve_with_admin();
    for seed in 0..BLOBS {
        content::push_blob(&admin, "team/app", &content::bytes(seed, BLOB));
    }
    drop(server);
    let server = place.serve_with(SLOW);
    let admin = admin.at(server.address);
    (server, admin)
}

/// Waits until a run has read some of the blobs.
fn await_some(admin: &Client, job: &Job) {
    eventually("some blobs were read", || {
        let now: Job = admin.get(&format!("/api/v1/jobs/{}", job.id)).expect(200).read();
        assert_eq!(now.state, JobState::Running);
        now.progress.stage == "blobs" && now.progress.done >= 2
    });
}

#[test]
fn damage_of_the_same_size_is_found_named_and_healed_by_a_push() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let layer = content::bytes(1, 300_000);
    let first = content::push_image(&admin, "team/app", "1", &layer);
    let second = content::push_image(&admin, "team/app", "2", b"another layer");
    content::push_image(&admin, "team/other", "1", &layer);
    drop(server);
    flip_manifest(&place, &second);
    let server = place.serve();
    let admin = admin.at(server.address);
    let (layer_digest, second_digest) = (content::sha256(&layer), content::sha256(&second));
    flip(&place, &layer_digest);
    assert_eq!(
        admin.head(&format!("/v2/team/app/blobs/{layer_digest}")).status,
        200,
        "nothing is proven yet"
    );

    let job = ended(&admin, &start(&admin, &json!({})));
    let Scrubbed { manifests, blobs, damaged, hidden, findings, complete, cycle, .. } = found(&job).clone();
    assert_eq!((manifests, blobs, damaged, hidden), (2, 3, 2, 2), "{findings:?}");
    assert!(complete && cycle.is_none() && job.problems == 2);
    let images = |kind: &str| {
        let of_kind = |finding: &&Finding| finding.kind == kind;
        findings.iter().find(of_kind).unwrap().images.clone()
    };
    assert_eq!(images("blob_content"), ["team/app:1", "team/other:1"]);
    assert_eq!(images("manifest_content"), ["team/app:2"]);
    let log = place.run(&["jobs", "show", &job.id.to_string(), "--log"]).expect(0).stdout;
    assert!(log.contains("push again: team/app:1, team/other:1") && log.contains("team/app:2"), "{log}");
    let shown = place.run(&["scrub", "status"]).expect(0).stdout;
    for part in ["complete ", "2 problems found", "push these images again:", "  team/app:2", "next run "] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let listed: Vec<String> = quarantine(&admin).into_iter().map(|damaged| damaged.digest).collect();
    assert_eq!(listed, [layer_digest.clone(), second_digest.clone()]);

    // A client that asks first is told that both are absent, and pushes them.
    admin.head(&format!("/v2/team/other/blobs/{layer_digest}")).expect(404);
    admin.head("/v2/team/app/manifests/2").expect(404);
    content::push_blob(&admin, "team/other", &layer);
    content::push_manifest(&admin, "team/app", "2", OCI_MANIFEST, &second);
    assert!(admin.get(&format!("/v2/team/app/blobs/{layer_digest}")).expect(200).body == layer);
    assert!(admin.get("/v2/team/app/manifests/2").expect(200).body == second);
    assert!(admin.get("/v2/team/app/manifests/1").expect(200).body == first);
    assert_eq!(quarantine(&admin), []);
    assert_eq!(scrub(&admin, &json!({})).damaged, 0);
    place.run(&["fsck", "--deep"]).expect(0);
    assert!(place.run(&["status"]).expect(0).stdout.contains("\nscrub "));
}

#[test]
fn a_stopped_run_is_continued_after_a_restart_where_it_was() {
    let place = Place::new();
    let (server, admin) = with_blobs(&place);
    let job = start(&admin, &json!({}));
    await_some(&admin, &job);
    server.stop();
    let server = place.serve();
    let admin = admin.at(server.address);
    let ScrubStatus { cycle, last, running, .. } = status(&admin);
    let (cycle, last) = (cycle.unwrap(), last.unwrap());
    assert_eq!((last.id, running, &last.state), (job.id, None, &JobState::Cancelled.into()));
    assert!((2..BLOBS).contains(&cycle.blobs) && cycle.after.is_some(), "{cycle:?}");
    // A part that is read in between leaves the cycle where it is.
    let part = scrub(&admin, &json!({"repository": "team/app"}));
    assert_eq!((part.blobs, part.cycle.as_ref()), (BLOBS, Some(&cycle)));
    assert_eq!(status(&admin).cycle, Some(cycle.clone()));
    let rest = scrub(&admin, &json!({}));
    assert_eq!((rest.manifests, rest.blobs, rest.complete), (0, BLOBS - cycle.blobs, true));
    assert_eq!(status(&admin).cycle, None);
    assert_eq!(scrub(&admin, &json!({})).blobs, BLOBS, "the next cycle reads all of it");
}

#[test]
fn a_cancelled_run_keeps_its_progress_and_a_full_one_begins_anew() {
    let place = Place::new();
    let (server, admin) = with_blobs(&place);
    let job = start(&admin, &json!({}));
    let refused = place.run(&["scrub", "run"]).expect(6);
    assert!(refused.error().contains("a scrub is already running"), "{refused:?}");
    await_some(&admin, &job);
    let shown = place.run(&["scrub", "status"]).expect(0).stdout;
    assert!(shown.contains("running ") && shown.contains(" blobs, "), "{shown}");
    place.run(&["scrub", "stop"]).expect(0);
    let cancelled = ended(&admin, &job);
    assert_eq!(cancelled.state, JobState::Cancelled);
    let cycle = found(&cancelled).cycle.clone().unwrap();
    assert!((2..BLOBS).contains(&cycle.blobs), "{cycle:?}");
    let shown = place.run(&["scrub", "status"]).expect(0).stdout;
    assert!(shown.contains(&format!("{} of {BLOBS} blobs", cycle.blobs)), "{shown}");
    let stopped = place.run(&["scrub", "stop"]).expect(5);
    assert!(stopped.error().contains("no scrub is running"), "{stopped:?}");
    drop(server);
    let server = place.serve();
    let admin = admin.at(server.address);
    let full = place.run(&["scrub", "run", "--full", "--wait", "--json"]).expect(0).json();
    assert_eq!(full["data"]["result"]["blobs"], json!(BLOBS));
    assert_eq!(status(&admin).cycle, None);
}

#[test]
fn what_is_not_there_and_who_may_not_is_refused() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"a layer");
    place.add("hanna");
    let hanna = server.client().basic("hanna", PASSWORD);
    let absent = content::sha256(b"absent");
    for (method, path) in [
        ("GET", "/api/v1/scrub".to_owned()),
        ("GET", "/api/v1/scrub/quarantine".to_owned()),
        ("POST", "/api/v1/scrub/runs".to_owned()),
        ("DELETE", format!("/api/v1/scrub/quarantine/{absent}")),
    ] {
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        hanna.send(method, &path, JSON, body).expect(403);
        server.client().send(method, &path, JSON, body).expect(401);
    }
    for (body, status, code) in [
        (json!({"repository": "team/none"}), 404, "REPOSITORY_UNKNOWN"),
        (json!({"repository": "Team"}), 400, "REPOSITORY_NAME_INVALID"),
        (json!({"digest": absent}), 404, "CONTENT_UNKNOWN"),
        (json!({"digest": "sha256:ab"}), 400, "DIGEST_INVALID"),
        (json!({"digest": absent, "repository": "team/app"}), 400, "BODY_INVALID"),
        (json!({"full": true, "repository": "team/app"}), 400, "BODY_INVALID"),
        (json!({"rate": 7}), 400, "BODY_INVALID"),
    ] {
        let refused = admin.send("POST", "/api/v1/scrub/runs", JSON, body.to_string().as_bytes());
        assert_eq!(refused.expect(status).read::<Problem>().code, code, "{body}");
    }
    let whole = content::sha256(b"a layer");
    let refused = admin.delete(&format!("/api/v1/scrub/quarantine/{whole}")).expect(404);
    assert_eq!(refused.read::<Problem>().code, "NOT_DAMAGED");
    admin.get("/api/v1/scrub/quarantine?cursor=MQ").expect(400);
    let unknown = place.run(&["scrub", "run", "--repo", "team/none", "--wait"]).expect(5);
    assert!(unknown.error().contains("team/none"), "{unknown:?}");
    let unknown = place.run(&["scrub", "run", "--digest", &absent]).expect(5);
    assert!(unknown.error().contains("no manifest and no blob has the digest"), "{unknown:?}");
    place.run(&["scrub", "run", "--digest", &absent, "--repo", "team/app"]).expect(2);
    let jobs: List<Job> = admin.get("/api/v1/jobs?kind=scrub").expect(200).read();
    assert!(jobs.items.is_empty(), "{jobs:?}");
}

#[test]
fn the_commands_find_list_and_drop_damage_also_without_a_server() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"a layer");
    let digest = content::sha256(b"a layer");
    let shown = place.run(&["scrub", "status"]).expect(0).stdout;
    assert!(shown.contains("no cycle yet") && shown.contains("the next run reads 1 manifest"), "{shown}");
    let whole = place.run(&["scrub", "run", "--digest", &digest, "--wait"]).expect(0).stdout;
    assert!(whole.starts_with("0 manifests and 1 blob (7 B) hashed, no problem found"), "{whole}");
    let none = place.run(&["scrub", "quarantine", "list"]).expect(0).stdout;
    assert_eq!(none.trim(), "nothing is hidden as damaged");
    let none = place.run(&["scrub", "quarantine", "drop", "--all", "--yes"]).expect(0).stdout;
    assert_eq!(none.trim(), "nothing is hidden that still has bytes");

    flip(&place, &digest);
    let damaged = place.run(&["scrub", "run", "--repo", "team/app", "--wait"]).expect(7);
    assert!(damaged.stdout.contains("push these images again:\n  team/app:1"), "{damaged:?}");
    let listed = place.run(&["scrub", "quarantine", "list"]).expect(0).stdout;
    assert!(listed.contains("blob") && listed.contains("team/app:1") && listed.contains("7 B"), "{listed}");
    assert!(place.run(&["scrub", "quarantine", "drop", &digest]).expect(2).stderr.contains("--yes"));
    assert!(place.blob(&digest).exists());
    let refused = place.run(&["scrub", "quarantine", "drop", &content::sha256(b"{}"), "--yes"]).expect(5);
    assert!(refused.error().contains("is hidden as damaged"), "{refused:?}");
    let dropped = place.run(&["scrub", "quarantine", "drop", "--all", "--yes"]).expect(0).stdout;
    assert_eq!(dropped.trim(), "dropped 1 damaged blob or manifest: 7 B removed");
    assert!(!place.blob(&digest).exists());
    let begun = place.run(&["scrub", "run"]).expect(0).stdout;
    assert!(begun.contains("has begun; follow it: stowage jobs watch "), "{begun}");
    eventually("it has ended", || status(&admin).running.is_none());
    drop(admin);
    server.stop();

    // Without a server the command opens the store and waits for the end.
    let alone = place.run(&["scrub", "run", "--json"]).expect(7).json();
    assert_eq!(alone["data"]["result"]["findings"][0]["kind"], json!("blob_corrupt"));
    let listed = place.run(&["scrub", "quarantine", "list", "--json"]).expect(0).json();
    assert_eq!(listed["data"]["quarantine"][0]["kept_bytes"], json!(0));
    let server = place.serve();
    let admin = server
        .client()
        .basic("admin", fs::read_to_string(place.data().join("initial-admin-password")).unwrap().trim());
    content::push_image(&admin, "team/app", "1", b"a layer");
    place.run(&["scrub", "run", "--wait"]).expect(0);
}

#[test]
fn damage_needs_attention_until_it_is_healed_whatever_runs_follow() {
    let place = Place::new();
    let (_server, admin) = with_blobs(&place);
    let contents = (0..BLOBS).map(|seed| content::bytes(seed, BLOB));
    let mut blobs: Vec<_> = contents.map(|content| (content::sha256(&content), content)).collect();
    blobs.sort();
    let ((damaged, content), (whole, _)) = (&blobs[0], &blobs[5]);
    content::push_image(&admin, "team/app", "1", content);
    flip(&place, damaged);
    let attention = |code| place.run(&["status", "--exit-code"]).expect(code).stdout;
    attention(0);
    let job = start(&admin, &json!({}));
    await_some(&admin, &job);
    admin.send("POST", &format!("/api/v1/jobs/{}/cancel", job.id), &[], b"").expect(202);
    assert_eq!(ended(&admin, &job).state, JobState::Cancelled);
    let told = attention(10);
    assert!(told.contains("no run has ended yet, 1 problem"), "{told}");
    assert_eq!(scrub(&admin, &json!({"digest": whole})).damaged, 0);
    assert!(attention(10).contains(", 1 problem"));
    content::push_blob(&admin, "team/app", content);
    attention(0);
}
