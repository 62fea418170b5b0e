//! Compaction of the database through the API and the command line.

use serde_json::json;
use stowage::wire::{CompactStatus, Job, JobResult, JobState, List, System};

use crate::admin::program::Place;
use crate::support::{Client, content};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn status(admin: &Client) -> CompactStatus {
    admin.get("/api/v1/compact").expect(200).read()
}

#[test]
fn a_run_is_a_job_and_the_file_has_what_it_had() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let manifest = content::push_image(&admin, "team/app", "1", b"a layer");
    let before = status(&admin);
    assert!(before.file_bytes > 0 && before.needed_bytes > 0, "{before:?}");
    assert!(!before.due && before.refused.is_none() && before.running.is_none() && before.last.is_none());
    assert!(before.next_at.unwrap().ends_with("T05:30:00Z"));
    let started = admin.post("/api/v1/compact/runs", b"").expect(202);
    let id = started.read::<Job>().id;
    assert_eq!(started.location(), format!("/api/v1/jobs/{id}"));
    let job: Job = admin.get(&format!("/api/v1/jobs/{id}?wait=1m")).expect(200).read();
    assert_eq!(job.state, JobState::Done);
    let Some(JobResult::Compact(done)) = &job.result else { panic!("{job:?}") };
    assert!(done.compacted && done.rows > 10 && done.before_bytes > 0, "{done:?}");
    assert_eq!(job.progress.done, done.rows);
    let after = status(&admin);
    assert_eq!(after.last.unwrap().id, id);
    let system: System = admin.get("/api/v1/system").expect(200).read();
    assert!(system.server.unwrap().database_bytes >= done.after_bytes);
    assert!(admin.get("/v2/team/app/manifests/1").expect(200).body == manifest);
    content::push_image(&admin, "team/app", "2", b"another layer");
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn only_admins_see_and_start_it() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let hanna = json!({"name": "hanna", "password": "a long password of hanna"}).to_string();
    admin.send("POST", "/api/v1/users", JSON, hanna.as_bytes()).expect(201);
    let hanna = server.client().basic("hanna", "a long password of hanna");
    hanna.get("/api/v1/compact").expect(403);
    hanna.post("/api/v1/compact/runs", b"").expect(403);
    server.client().get("/api/v1/compact").expect(401);
    assert!(hanna.get("/api/v1/system").expect(200).read::<System>().server.is_none());
    let jobs: List<Job> = admin.get("/api/v1/jobs?kind=compact").expect(200).read();
    assert!(jobs.items.is_empty());
}

#[test]
fn the_command_says_what_it_would_do_and_did_with_and_without_a_server() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"a layer");
    let shown = place.run(&["compact", "--dry-run"]).expect(0).stdout;
    for part in [
        "file ",
        "needed ",
        "free ",
        "stowage compact --wait",
        "if more than half of it and 8 MiB are free",
        "none yet",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(place.run(&["compact", "--dry-run", "--wait"]).expect(2).stderr.contains("--wait"));
    let begun = place.run(&["compact"]).expect(0).stdout;
    assert!(begun.contains("has begun; follow it: stowage jobs watch "), "{begun}");
    let id = begun.trim().rsplit(' ').next().unwrap();
    place.run(&["jobs", "show", id, "--wait"]).expect(0);
    let text = place.run(&["compact", "--wait"]).expect(0).stdout;
    assert!(text.contains("the database file had ") && text.contains("changes waited "), "{text}");
    let log = place.run(&["jobs", "show", id, "--log"]).expect(0).stdout;
    assert!(log.contains("the database file had "), "{log}");
    let status = place.run(&["status"]).expect(0).stdout;
    assert!(status.contains("\ndatabase ") && status.contains(" free\n"), "{status}");
    drop(admin);
    server.stop();
    // Without a server, the command opens the store and waits for the end.
    let alone = place.run(&["compact", "--json"]).expect(0).json();
    assert_eq!(alone["data"]["state"], json!("done"));
    assert_eq!(alone["data"]["result"]["compacted"], json!(true));
    place.run(&["fsck", "--deep"]).expect(0);
}
