//! `stowage jobs`: what the server does and did, in lists and one by one, with a server and without one.

use serde_json::{Value, json};
use stowage::wire::{Job, JobState, List, NewCheck};

use crate::admin::program::{Place, Server};
use crate::support::{Client, content};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// Starts a check and returns its id.
fn start(admin: &Client, deep: bool) -> String {
    let body = json!(NewCheck { deep }).to_string();
    admin.send("POST", "/api/v1/checks", JSON, body.as_bytes()).expect(202).read::<Job>().id.to_string()
}

/// A check that is done.
fn checked(admin: &Client) -> String {
    let id = start(admin, false);
    let job: Job = admin.get(&format!("/api/v1/jobs/{id}?wait=1m")).expect(200).read();
    assert_eq!(job.state, JobState::Done);
    id
}

fn with_image(place: &Place) -> (Server, Client) {
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    (server, admin)
}

#[test]
fn jobs_are_listed_and_shown_by_the_beginning_of_their_ids() {
    let place = Place::new();
    let (_server, admin) = with_image(&place);
    place.run(&["fsck", "--deep"]).expect(0);
    let id = checked(&admin);
    let listed = place.run(&["jobs", "list", "--kind", "check", "--json"]).expect(0).json();
    assert_eq!((&listed["command"], &listed["ok"]), (&json!("jobs list"), &json!(true)));
    let jobs = listed["data"]["jobs"].as_array().unwrap();
    assert_eq!((jobs.len(), &jobs[0]["id"], &jobs[0]["by"]), (2, &json!(id), &json!("admin")));
    assert_eq!((&jobs[1]["parameters"], &jobs[1]["state"]), (&json!({"deep": true}), &json!("done")));
    assert!(jobs[1]["by"].as_str().unwrap().starts_with("unix:"), "{}", jobs[1]);
    let text = place.run(&["jobs", "list"]).expect(0).stdout;
    assert!(text.starts_with("ID ") && text.contains(&id[..8]) && !text.contains(&id), "{text}");
    assert!(place.run(&["jobs", "ls", "-o", "wide"]).expect(0).stdout.contains(&id));
    let first = place.run(&["jobs", "list", "--kind", "check", "--limit", "1"]).expect(0);
    assert!(first.stdout.contains(&id[..8]) && first.stderr.contains("there are older jobs: --limit 5"));

    let shown = place.run(&["jobs", "show", &id[..8].to_uppercase(), "--log", "--wait"]).expect(0).stdout;
    for part in [id.as_str(), "kind     check\n", "state    done\n", "looks at blobs\n", "no problem found"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let shown = place.run(&["jobs", "show", &id, "--log", "--json"]).expect(0).json();
    let data = &shown["data"];
    assert_eq!(
        (&data["state"], &data["problems"], &data["error"]),
        (&json!("done"), &json!(0), &Value::Null)
    );
    assert_eq!(data["result"]["checked"]["blobs"], json!(2));
    assert_eq!(data["log"].as_array().unwrap().last().unwrap()["text"], json!("found 0 problems"));
    let ended = place.run(&["jobs", "cancel", &id[..4]]).expect(0).stdout;
    assert_eq!(ended, format!("the check {id} has ended already: it is done\n"));
}

#[test]
fn what_names_no_job_or_several_is_refused() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for (wrong, exit, words) in [
        ("abc", 2, "at least its first 4 characters"),
        ("hanna", 2, "at least its first 4 characters"),
        ("00000000-0000-4000-8000-000000000000", 5, "there is no job"),
    ] {
        for verb in ["show", "watch", "cancel"] {
            let ran = place.run(&["jobs", verb, wrong]).expect(exit);
            assert!(ran.error().contains(words) && ran.stderr.contains("stowage jobs list"), "{ran:?}");
        }
    }
    let id = checked(&admin);
    // Four characters that the id does not begin with.
    let other = if id.starts_with("0000") { "1111" } else { "0000" };
    let dumps: List<Job> = admin.get("/api/v1/jobs?kind=dump").expect(200).read();
    if dumps.items.iter().all(|job| !job.id.to_string().starts_with(other)) {
        assert!(place.run(&["jobs", "show", other]).expect(5).error().contains("there is no job"));
    }
    let refused = place.run(&["jobs", "list", "--kind", "defrag"]).expect(2);
    assert!(refused.error().contains("the kinds of jobs are: check, dump"), "{refused:?}");
    place.run(&["jobs", "list", "--limit", "501"]).expect(2);
}

#[test]
fn the_history_is_there_after_a_restart_and_without_a_server() {
    let place = Place::new();
    let (server, admin) = with_image(&place);
    let id = checked(&admin);
    server.stop();
    let offline = place.run(&["jobs", "show", &id[..8], "--json"]).expect(0).json();
    assert_eq!((&offline["data"]["state"], &offline["data"]["by"]), (&json!("done"), &json!("admin")));
    let server = place.serve();
    let status = place.run(&["status", "--json"]).expect(0).json();
    let last = &status["data"]["server"]["last_check"];
    assert_eq!((&last["deep"], &last["problems"]), (&json!(false), &json!(0)));
    assert_eq!(last["ended_at"], offline["data"]["ended_at"]);
    assert!(place.run(&["status"]).expect(0).stdout.contains("ago), no problem"));
    let shown = place.run(&["jobs", "show", &id, "--json"]).expect(0).json();
    assert_eq!(shown["data"], offline["data"]);
    server.stop();
}

#[test]
fn a_job_is_waited_for_and_its_exit_code_says_how_it_ended() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_blob(&admin, "team/big", &content::bytes(7, 192 << 20));
    let id = start(&admin, true);
    let ran = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.run(&["jobs", "show", &id, "--wait", "--log"]));
        let text = place.run(&["jobs", "cancel", &id]).expect(0).stdout;
        assert!(text == format!("the check {id} ends soon\n") || text.contains("cancelled"), "{text}");
        waiting.join().unwrap().expect(1)
    });
    assert!(ran.stdout.contains("state     cancelled\n"), "{ran:?}");
    assert!(ran.stdout.contains(" asked the job to end\n"), "{ran:?}");

    let digest = content::sha256(&content::bytes(7, 192 << 20));
    let hex = digest.split_once(':').unwrap().1;
    std::fs::remove_file(place.data().join("blobs/sha256").join(&hex[..2]).join(hex)).unwrap();
    let id = checked(&admin);
    let ran = place.run(&["jobs", "show", &id, "--wait"]).expect(7);
    assert!(ran.stdout.contains("the file of the blob is missing"), "{ran:?}");
    place.run(&["jobs", "show", &id]).expect(0);
    let document = place.run(&["jobs", "show", &id, "--wait", "--json"]).expect(7).json();
    assert_eq!((&document["ok"], &document["error"]["code"]), (&json!(false), &json!("PROBLEMS_FOUND")));
    server.stop();
}

#[test]
fn a_job_is_watched_until_its_end() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_blob(&admin, "team/big", &content::bytes(7, 192 << 20));
    let id = start(&admin, true);
    let ran = place.run(&["jobs", "watch", &id[..8]]).expect(0);
    let (lines, end) = ran.stdout.split_once(&format!("the check {id} is done\n")).unwrap();
    assert!(lines.contains("looks at blobs\n") && lines.ends_with("found 0 problems\n"), "{ran:?}");
    assert!(end.contains("no problem found"), "{ran:?}");

    // Of one that has ended, everything is told at once.
    let ran = place.run(&["jobs", "watch", &id, "-o", "ndjson"]).expect(0);
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (result, lines) = events.split_last().unwrap();
    assert_eq!((&result["event"], &result["command"]), (&json!("result"), &json!("jobs watch")));
    assert!(lines.iter().all(|line| line["event"] == "log" && line["text"].is_string()), "{ran:?}");
    let log: Vec<&Value> = lines.iter().map(|line| &line["text"]).collect();
    let kept: Vec<&Value> =
        result["data"]["log"].as_array().unwrap().iter().map(|line| &line["text"]).collect();
    assert_eq!(log, kept);
    let document = place.run(&["jobs", "watch", &id, "--json"]).expect(0).json();
    assert_eq!(document["data"], result["data"]);

    let id = start(&admin, true);
    let ran = std::thread::scope(|scope| {
        let watching = scope.spawn(|| place.run(&["jobs", "watch", &id]));
        place.run(&["jobs", "cancel", &id]).expect(0);
        watching.join().unwrap()
    });
    // The check may have ended before it was cancelled.
    assert!(ran.exit == 1 && ran.stdout.ends_with(" is cancelled\n") || ran.exit == 0, "{ran:?}");
    server.stop();
}

#[test]
fn a_job_whose_server_is_killed_is_shown_as_interrupted() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_blob(&admin, "team/big", &content::bytes(7, 192 << 20));
    let id = start(&admin, true);
    server.kill();
    let server = place.serve();
    let shown = place.run(&["jobs", "show", &id, "--json"]).expect(0).json();
    let job = &shown["data"];
    assert_eq!((&job["state"], &job["ended_at"]), (&json!("interrupted"), &Value::Null));
    assert_eq!((&job["result"], &job["parameters"]), (&Value::Null, &json!({"deep": true})));
    assert_eq!(job["error"], json!("the server ended while the job ran"));
    let ran = place.run(&["jobs", "show", &id, "--wait"]).expect(1);
    assert!(ran.stdout.contains("state     interrupted\n"), "{ran:?}");
    // It is in the way of no other, and no check is told of that did not come to its end.
    let status = place.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["data"]["server"]["last_check"], Value::Null);
    place.run(&["fsck", "--deep"]).expect(0);
    let listed = place.run(&["jobs", "list", "--kind", "check", "--json"]).expect(0).json();
    let jobs = listed["data"]["jobs"].as_array().unwrap();
    let ended: Vec<&Value> = jobs.iter().map(|job| &job["state"]).collect();
    assert_eq!(ended, ["done", "interrupted"]);
    server.stop();
    place.run(&["fsck", "--deep"]).expect(0);
}
