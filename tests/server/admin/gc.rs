//! Garbage collection through the API and the command line: what is deleted is not used, says why it is
//! still there, and its space is freed.

use serde_json::{Value, json};
use stowage::wire::{GarbageReason, GcPlan, GcStatus, Job, JobResult, JobState, List, OpenEnum, System};

use crate::admin::program::{Place, Server};
use crate::support::{Client, content};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn with_two_images(place: &Place) -> (Server, Client) {
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/kept", "1", b"a layer that stays");
    let deleted = content::push_image(&admin, "team/app", "1", &content::bytes(1, 300_000));
    let digest = content::sha256(&deleted);
    admin.delete(&format!("/v2/team/app/manifests/{digest}")).expect(202);
    place.run(&["trash", "empty", "--yes"]).expect(0);
    (server, admin)
}

/// Starts a run and waits for its end.
fn run(admin: &Client, body: &Value) -> Job {
    let started: Job =
        admin.send("POST", "/api/v1/gc/runs", JSON, body.to_string().as_bytes()).expect(202).read();
    admin.get(&format!("/api/v1/jobs/{}?wait=1m", started.id)).expect(200).read()
}

fn status(admin: &Client) -> GcStatus {
    admin.get("/api/v1/gc").expect(200).read()
}

fn disk_bytes(admin: &Client) -> u64 {
    admin.get("/api/v1/system").expect(200).read::<System>().disk_bytes
}

#[test]
fn what_was_deleted_waits_says_until_when_and_is_freed_now() {
    let place = Place::new();
    let (_server, admin) = with_two_images(&place);
    let before = disk_bytes(&admin);
    let GcStatus { live_bytes, garbage, running, last, .. } = status(&admin);
    assert!(running.is_none() && last.is_none());
    assert!(status(&admin).next_at.unwrap().ends_with("T03:30:00Z"));
    assert_eq!(garbage.iter().map(|part| part.bytes).sum::<u64>() + live_bytes, before);
    assert!(garbage.iter().all(|part| part.reason == GarbageReason::Grace), "{garbage:?}");
    assert!(garbage[0].last_at.is_some() && garbage[0].bytes >= 300_000, "{garbage:?}");

    let scheduled: GcPlan = admin.get("/api/v1/gc/plan").expect(200).read();
    assert_eq!(scheduled, GcPlan::default());
    assert_eq!(run(&admin, &json!({})).state, JobState::Done);
    assert_eq!(disk_bytes(&admin), before);

    let plan: GcPlan = admin.get("/api/v1/gc/plan?now=true").expect(200).read();
    assert_eq!((plan.bytes, plan.promised_until), (garbage[0].bytes, None));
    let job = run(&admin, &json!({"now": true}));
    let Some(JobResult::Gc(done)) = job.result else { panic!("{job:?}") };
    assert_eq!((done.blobs, done.freed_bytes, done.complete), (plan.blobs, plan.freed_bytes, true));
    assert_eq!(disk_bytes(&admin), before - plan.freed_bytes);
    assert_eq!(disk_bytes(&admin), live_bytes);
    assert!(status(&admin).garbage.is_empty());
    assert_eq!(status(&admin).last.unwrap().progress.bytes, plan.freed_bytes);
    admin.get("/v2/team/kept/manifests/1").expect(200);
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn what_a_client_has_just_uploaded_is_left_and_told() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_blob(&admin, "team/app", b"a layer of a push under way");
    let plan: GcPlan = admin.get("/api/v1/gc/plan?now=true").expect(200).read();
    assert!(plan.blobs == 0 && plan.promised == 1 && plan.promised_until.is_some(), "{plan:?}");
    let job = run(&admin, &json!({"now": true}));
    let Some(JobResult::Gc(done)) = job.result else { panic!("{job:?}") };
    assert_eq!((done.blobs, done.promised), (0, 1));
    assert_eq!(status(&admin).garbage[0].reason, OpenEnum::Known(GarbageReason::Promised));
    let ran = place.run(&["gc", "run", "--now", "--wait"]).expect(0);
    assert!(ran.stdout.contains("1 blob stays for now, because a client was told"), "{ran:?}");
    let app = content::push_image(&admin, "team/app", "1", b"a layer of a push under way");
    admin.get(&format!("/v2/team/app/manifests/{}", content::sha256(&app))).expect(200);
}

#[test]
fn only_admins_see_and_start_it_and_what_is_not_described_is_refused() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let hanna = json!({"name": "hanna", "password": "a long password of hanna"}).to_string();
    admin.send("POST", "/api/v1/users", JSON, hanna.as_bytes()).expect(201);
    let hanna = server.client().basic("hanna", "a long password of hanna");
    for path in ["/api/v1/gc", "/api/v1/gc/plan"] {
        hanna.get(path).expect(403);
        server.client().get(path).expect(401);
    }
    hanna.send("POST", "/api/v1/gc/runs", JSON, b"{}").expect(403);
    for wrong in ["[]", "null", r#"{"now": null}"#, r#"{"now": 1}"#, r#"{"empty": true}"#] {
        admin.send("POST", "/api/v1/gc/runs", JSON, wrong.as_bytes()).expect(400);
    }
    admin.get("/api/v1/gc/plan?now=maybe").expect(400);
    admin.get("/api/v1/gc/plan?later=true").expect(400);
    let jobs: List<Job> = admin.get("/api/v1/jobs?kind=gc").expect(200).read();
    assert!(jobs.items.is_empty());
}

#[test]
fn the_commands_say_what_is_there_what_a_run_did_and_what_to_do() {
    let place = Place::new();
    let (server, admin) = with_two_images(&place);
    let shown = place.run(&["gc", "status"]).expect(0).stdout;
    for part in ["live ", "grace ", "in 1 blob", "stowage gc run --now", "none yet"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(place.run(&["status"]).expect(0).stdout.contains("that nothing uses: stowage gc status"));
    let nothing = place.run(&["gc", "plan"]).expect(0).stdout;
    assert!(nothing.contains("would move 0 blobs (0 B) to quarantine"), "{nothing}");
    let planned = place.run(&["gc", "plan", "--now", "--json"]).expect(0).json();
    let freed = planned["data"]["freed_bytes"].as_u64().unwrap();
    assert!(freed >= 300_000, "{planned}");
    let stopped = place.run(&["gc", "stop"]).expect(5);
    assert!(stopped.error().contains("garbage collection is not running"), "{stopped:?}");
    let ran = place.run(&["gc", "run", "--now", "--wait", "--json"]).expect(0).json();
    assert_eq!(ran["data"]["result"]["freed_bytes"], json!(freed));
    let id = ran["data"]["id"].as_str().unwrap();
    let log = place.run(&["jobs", "show", id, "--log"]).expect(0).stdout;
    assert!(log.contains("collected 2 links and 1 blob") && log.contains("took 1 blob"), "{log}");
    let status = place.run(&["status"]).expect(0).stdout;
    assert!(status.contains("\ngc ") && status.contains(" KiB freed"), "{status}");
    let history = place.run(&["gc", "history", "-o", "wide"]).expect(0).stdout;
    assert!(history.contains("now") && history.contains("done"), "{history}");
    let begun = place.run(&["gc", "run"]).expect(0).stdout;
    assert!(begun.contains("has begun; follow it: stowage jobs watch "), "{begun}");
    assert!(place.run(&["prune"]).expect(2).stderr.contains("stowage gc run --wait"));
    drop(admin);
    server.stop();
    // Without a server, the command opens the store and waits for the end.
    let alone = place.run(&["gc", "run", "--now", "--json"]).expect(0).json();
    assert_eq!(alone["data"]["state"], json!("done"));
    let runs = place.run(&["gc", "history", "--json"]).expect(0).json();
    assert_eq!(runs["data"]["runs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_restart_knows_what_was_promised_and_a_kill_makes_it_wait() {
    let place = Place::new();
    let (server, admin) = with_two_images(&place);
    drop(admin);
    server.stop();
    let (server, admin) = place.serve_with_admin();
    let plan: GcPlan = admin.get("/api/v1/gc/plan?now=true").expect(200).read();
    assert_eq!((plan.blobs, plan.promised), (1, 0));
    drop(admin);
    server.kill();
    let (_server, admin) = place.serve_with_admin();
    let GcStatus { garbage, promises_unknown_until, .. } = status(&admin);
    assert!(promises_unknown_until.is_some());
    assert!(garbage.iter().all(|part| part.reason == GarbageReason::Promised), "{garbage:?}");
    let ran = place.run(&["gc", "run", "--now", "--wait"]).expect(0).stdout;
    assert!(ran.contains("took 0 blobs"), "{ran}");
    assert!(place.run(&["gc", "status"]).expect(0).stdout.contains("the server was killed"));
}
