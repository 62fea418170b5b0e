//! `stowage schedule` and `/api/v1/schedules`: what the settings say, what was set, and what runs.

use serde_json::json;
use stowage::store::meta::{StoreError, Tx as _, schema};
use stowage::store::open::Store;
use stowage::wire::{Job, JobState, List, NewSchedule, Problem, Schedule};

use crate::admin::program::{PASSWORD, Place};
use crate::support::{Client, Response, eventually};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const EIGHT_DAYS_MS: u64 = 8 * 24 * 60 * 60 * 1000;
const CHECK: &str = "/api/v1/schedules/check";

fn set(admin: &Client, path: &str, when: &str) -> Response {
    let body = json!(NewSchedule { when: when.to_owned() }).to_string();
    admin.send("PUT", path, JSON, body.as_bytes())
}

fn listed(admin: &Client) -> Schedule {
    let mut list: List<Schedule> = admin.get("/api/v1/schedules").expect(200).read();
    assert_eq!((list.items.len(), &list.next_cursor), (4, &None));
    let others = [1, 2, 3].map(|place| (&*list.items[place].setting, &*list.items[place].when));
    assert_eq!(others[0], ("storage.gc.schedule", "daily 03:30"));
    assert_eq!(others[1], ("storage.scrub.schedule", "weekly sun 04:30"));
    assert_eq!(others[2], ("storage.compact", "daily 05:30"));
    list.items.remove(0)
}

fn checks(admin: &Client) -> Vec<Job> {
    admin.get("/api/v1/jobs?kind=check").expect(200).read::<List<Job>>().items
}

#[test]
fn a_schedule_is_set_listed_and_reset_and_a_restart_keeps_it() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let first = listed(&admin);
    assert_eq!((&*first.when, &*first.configured, &*first.timezone), ("off", "off", "UTC"));
    assert_eq!((&*first.setting, &first.set, &first.next_at), ("scheduler.check", &None, &None));
    let ran = place.run(&["schedule", "list"]).expect(0).stdout;
    assert!(ran.starts_with("JOB ") && ran.contains("check    off               scheduler.check"), "{ran}");

    let changed: Schedule = set(&admin, CHECK, "Daily 3:30").expect(200).read();
    assert_eq!((&*changed.when, &*changed.configured), ("daily 03:30", "off"));
    let by = changed.set.clone().unwrap();
    assert_eq!((&*by.when, &*by.by), ("daily 03:30", "admin"));
    assert!(changed.next_at.clone().unwrap().ends_with("T03:30:00Z"), "{changed:?}");
    assert_eq!(listed(&admin), changed);
    let ran = place.run(&["schedule", "set", "check", "weekly", "sun", "04:00"]).expect(0).stdout;
    assert!(ran.starts_with("check runs weekly sun 04:00 (UTC); scheduler.check is off\nnext: 2"), "{ran}");
    server.stop();

    // Without a server, and with other settings.
    let offline = place.run(&["schedule", "list", "--json"]).expect(0).json();
    let item = &offline["data"]["schedules"][0];
    assert_eq!((&item["when"], &item["override"]["when"]), (&json!("weekly sun 04:00"), &item["when"]));
    assert!(item["override"]["by"].as_str().unwrap().starts_with("unix:"), "{item}");
    let settings =
        [("STOWAGE__SCHEDULER__CHECK", "every 6h"), ("STOWAGE__SCHEDULER__TIMEZONE", "asia/tokyo")];
    let server = place.serve_with(&settings);
    let admin = admin.at(server.address);
    let kept = listed(&admin);
    assert_eq!(
        (&*kept.when, &*kept.configured, &*kept.timezone),
        ("weekly sun 04:00", "every 6h", "Asia/Tokyo")
    );
    assert!(kept.next_at.unwrap().ends_with("T19:00:00Z"));
    let reset: Schedule = admin.delete(CHECK).expect(200).read();
    assert_eq!((&*reset.when, &reset.set), ("every 6h", &None));
    let text = place.run(&["schedule", "reset", "check"]).expect(0).stdout;
    assert!(text.starts_with("check runs every 6h (Asia/Tokyo); as scheduler.check says\nnext: "), "{text}");
}

#[test]
fn what_is_wrong_is_refused_and_says_what_is_right() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    for (path, when, status, code) in [
        (CHECK, "daily 25:00", 400, "WHEN_INVALID"),
        (CHECK, "", 400, "WHEN_INVALID"),
        (CHECK, "every 1s", 400, "WHEN_INVALID"),
        (CHECK, "0 0 31 2 *", 400, "WHEN_INVALID"),
        ("/api/v1/schedules/scrubbing", "daily", 404, "SCHEDULE_UNKNOWN"),
        ("/api/v1/schedules/CHECK", "daily", 404, "SCHEDULE_UNKNOWN"),
        ("/api/v1/schedules/%00", "daily", 404, "SCHEDULE_UNKNOWN"),
    ] {
        let problem: Problem = set(&admin, path, when).expect(status).read();
        assert_eq!(problem.code, code, "{path} {when}: {problem:?}");
    }
    admin.delete("/api/v1/schedules/dump").expect(404);
    let ran = place.run(&["schedule", "set", "check", "at", "noon"]).expect(2);
    assert!(ran.error().contains("`at noon` is not a schedule: write off, hourly, daily 03:30"), "{ran:?}");
    let ran = place.run(&["schedule", "reset", "dump"]).expect(5);
    assert!(ran.stderr.contains("stowage schedule list"), "{ran:?}");
    place.run(&["schedule", "set", "check"]).expect(2);
    assert_eq!(listed(&admin).set, None);

    place.add("hanna");
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/api/v1/schedules").expect(403);
    set(&hanna, CHECK, "daily").expect(403);
    hanna.delete(CHECK).expect(403);
    let token = ["token", "create", "admin", "--name", "reads", "--scopes", "read_api"];
    let secret = place.run(&token).expect(0).stdout;
    let reads = server.client().authorization(&format!("Bearer {}", secret.trim()));
    reads.get("/api/v1/schedules").expect(200);
    set(&reads, CHECK, "daily").expect(403);
    server.client().get("/api/v1/schedules").expect(401);
}

#[test]
fn settings_that_are_no_schedule_or_no_zone_end_the_start() {
    let place = Place::new();
    for (variable, value, words) in [
        ("STOWAGE__SCHEDULER__CHECK", "daily at noon", "`daily at noon` is not a schedule"),
        ("STOWAGE__SCHEDULER__CHECK", "weekly 03:30", "is not a day of the week"),
        ("STOWAGE__SCHEDULER__TIMEZONE", "Europe/Berln", "did you mean Europe/Berlin?"),
        ("STOWAGE__SCHEDULER__TIMEZONE", "CEST", "is not a time zone"),
    ] {
        let ran = place.run_elsewhere(&["check-config"], &[(variable, value)]).expect(3);
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    let zone =
        [("STOWAGE__SCHEDULER__TIMEZONE", "Europe/Berlin"), ("STOWAGE__SCHEDULER__CHECK", "30 3 * * sun")];
    place.run_elsewhere(&["check-config"], &zone).expect(0);
}

#[test]
fn a_check_that_was_missed_while_no_server_ran_runs_once_after_the_start() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    set(&admin, CHECK, "weekly").expect(200);
    server.stop();
    // As if it had been set eight days ago, and no server had run since.
    let store = Store::offline(&place.data(), &place.data()).unwrap();
    let changed = store.meta.write(|tx| {
        let row = tx.get(&schema::SCHEDULE, "check")?.unwrap();
        tx.put(&schema::SCHEDULE, "check", &schema::Schedule { at_ms: row.at_ms - EIGHT_DAYS_MS, ..row })
    });
    store.runtime.block_on(changed).unwrap_or_else(|error: StoreError| panic!("{error}"));
    store.close();

    // A command does not run it.
    assert_eq!(
        place.run(&["jobs", "list", "--kind", "check", "--json"]).expect(0).json()["data"]["jobs"],
        json!([])
    );
    let server = place.serve();
    let admin = admin.at(server.address);
    eventually("the check has begun", || !checks(&admin).is_empty());
    let first = checks(&admin).remove(0);
    assert_eq!((&*first.by, first.parameters.deep), ("system", Some(false)));
    let ended: Job = admin.get(&format!("/api/v1/jobs/{}?wait=1m", first.id)).expect(200).read();
    assert_eq!(ended.state, JobState::Done);
    let view = listed(&admin);
    assert_eq!(view.last_job.unwrap().id, first.id);
    let ran = place.run(&["schedule", "list"]).expect(0).stdout;
    assert!(ran.contains("done"), "{ran}");
    let log = server.stop();
    assert!(log.contains("a scheduled job starts"), "{log}");

    let store = Store::offline(&place.data(), &place.data()).unwrap();
    let row = store.meta.get(|tx| tx.get(&schema::SCHEDULE_RUN, "check"));
    let row = row.unwrap_or_else(|error: StoreError| panic!("{error}")).unwrap();
    assert!(row.due_ms <= row.began_ms && row.began_ms - row.due_ms < EIGHT_DAYS_MS);
    store.close();
}
