//! Numbers and times for people: the singular, local and relative times; programs get them unchanged.

use serde_json::{Value, json};
use stowage::wire::JobState;

use crate::admin::program::Place;
use crate::admin::{fake, samples};
use crate::support::content;

/// Runs a command in a time zone whose local times differ from UTC.
fn people(place: &Place, arguments: &[&str]) -> String {
    let mut command = place.command();
    command.args(arguments).arg("--data-dir").arg(place.data()).env("TZ", "<+0545>-5:45");
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn times_are_local_and_relative_for_people_alone() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    place.run(&["token", "create", "admin", "--name", "ci", "--scopes", "api", "--expires", "90d"]).expect(0);
    let digest =
        admin.get("/v2/team/app/manifests/1").expect(200).header("docker-content-digest").unwrap().to_owned();
    for (arguments, parts) in [
        (&["user", "list"][..], &[" ago"][..]),
        (&["user", "show", "admin"], &[" ago)"]),
        (&["token", "list"], &["in 90 days", "never"]),
        (&["token", "show", "ci"], &["(in 90 days)"]),
        (&["repo", "show", "team/app"], &[" ago)"]),
        (&["tag", "list", "team/app"], &[" ago"]),
        (&["manifest", "list", "team/app"], &[" ago"]),
    ] {
        for wide in [&[][..], &["-o", "wide"]] {
            let text = people(&place, &[arguments, wide].concat());
            for part in parts {
                assert!(text.contains(part), "{arguments:?} without {part:?}: {text}");
            }
            let is_utc = |word: &str| word.contains('T') && word.ends_with('Z') && word.starts_with("20");
            assert!(!text.split_whitespace().any(is_utc), "{arguments:?}: {text}");
        }
        // The same moment, with an offset that is not a whole hour.
        let utc = place.run(&[arguments, &["--json"]].concat()).expect(0).stdout;
        assert!(utc.contains("Z\""), "{utc}");
    }
    let created = place.run(&["user", "show", "admin", "--json"]).expect(0).json()["data"]["created_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let minute: u32 = created[14..16].parse().unwrap();
    let shown = people(&place, &["user", "show", "admin"]);
    assert!(shown.contains(&format!(":{:02} (", (minute + 45) % 60)), "{created}: {shown}");
    let wide = people(&place, &["tag", "list", "team/app", "-o", "wide"]);
    assert!(wide.contains(&digest) && wide.contains(" ago)"), "{wide}");
}

#[test]
fn one_is_singular_wherever_a_number_is_told() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    let mut told = people(&place, &["status"]);
    told += &people(&place, &["repo", "delete", "team/app", "--dry-run"]);
    told += &people(&place, &["repo", "delete", "team/app", "--yes"]);
    told += &people(&place, &["status"]);
    told += &people(&place, &["trash", "list"]);
    told += &people(&place, &["gc", "plan", "--empty-trash"]);
    told += &people(&place, &["trash", "empty", "--yes"]);
    // An unreferenced blob, an unfinished upload, and a deleted repository with a history: each gives a note.
    content::open_upload(&admin, "bare/one");
    told += &people(&place, &["fsck"]);
    server.stop();
    std::fs::create_dir_all(place.data().join("blobs")).unwrap();
    std::fs::write(place.data().join("blobs/notes.txt"), "x").unwrap();
    told += &people(&place, &["fsck"]);
    for part in [
        "1 tag, 1 manifest",
        "1 file among the blobs does not belong there: ",
        "1 deleted repository still has",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    let many = |window: &[&str]| {
        window[0].trim_start_matches('(') == "1"
            && window[1].trim_end_matches([',', ':', ')', '.']).ends_with('s')
    };
    for line in told.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `1 of its files` would be correct; no message has such words.
        let wrong = words.windows(2).find(|window| many(window) && !["is", "has"].contains(&window[1]));
        assert_eq!(wrong, None, "{line}");
    }
}

#[test]
fn an_api_of_another_version_may_have_other_times() {
    let place = Place::new();
    let server = fake::server(&place, |_| fake::json(200, &json!(samples::user("yesterday"))));
    let ran = place.run_elsewhere(&["user", "show", "hanna", "--server", &server], &[]).expect(0);
    assert!(ran.stdout.contains("created  yesterday"), "{ran:?}");
}

#[test]
fn a_newer_server_may_have_other_kinds_and_states_of_jobs() {
    let place = Place::new();
    let mut waiting = json!(samples::job("start", JobState::Running));
    (waiting["kind"], waiting["state"]) = (json!("defrag"), json!("queued"));
    let mut with_result = json!(samples::job("tag", JobState::Done));
    (with_result["kind"], with_result["state"]) = (json!("defrag"), json!("archived"));
    let mut without = with_result.clone();
    (without["result"], without["error"]) = (Value::Null, Value::Null);
    let ran = |ended: Value| {
        let mut answers = [waiting.clone(), waiting.clone(), ended].into_iter();
        let server = fake::server(&place, move |_| fake::json(200, &answers.next().unwrap()));
        place.run_elsewhere(&["fsck", "--server", &server], &[])
    };
    let found = ran(with_result).expect(7);
    assert!(found.stdout.contains("1 problem"), "{found:?}");
    let failed = ran(without).expect(1);
    assert!(failed.stderr.contains("its state is archived, which this version does not know"), "{failed:?}");
}
