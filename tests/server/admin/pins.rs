//! Pins through the API and the command line: garbage collection removes nothing for a while.

use serde_json::json;
use stowage::wire::{GarbageReason, GcStatus, Job, List, NewPin, Pin, Problem};

use crate::admin::program::Place;
use crate::support::{Client, Response, content};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn set(admin: &Client, name: &str, duration: &str) -> Response {
    let body = json!(NewPin { duration: duration.to_owned() }).to_string();
    admin.send("PUT", &format!("/api/v1/gc/pins/{name}"), JSON, body.as_bytes())
}

fn status(admin: &Client) -> GcStatus {
    admin.get("/api/v1/gc").expect(200).read()
}

#[test]
fn a_pin_holds_what_was_deleted_until_it_is_removed() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", &content::bytes(1, 300_000));
    let text = place.run(&["gc", "pin", "backup", "--for", "2h"]).expect(0).stdout;
    assert!(text.contains("removes nothing until") && text.contains("stowage gc unpin backup"), "{text}");
    admin.delete("/api/v1/repositories/team/app").expect(204);
    place.run(&["trash", "empty", "--yes"]).expect(0);

    for query in ["", "?now=true", "?empty_trash=true"] {
        let refused: Problem = admin.get(&format!("/api/v1/gc/plan{query}")).expect(409).read();
        assert_eq!(refused.code, "PINNED");
    }
    for options in [&["--wait"][..], &["--now", "--wait"], &["--empty-trash"]] {
        let refused = place.run(&[&["gc", "run"], options].concat());
        assert_ne!(refused.exit, 0, "{refused:?}");
        assert!(refused.error().contains("the pin backup holds everything"), "{refused:?}");
    }
    let runs: List<Job> = admin.get("/api/v1/jobs?kind=gc").expect(200).read();
    assert!(runs.items.is_empty(), "a run that is refused leaves no job");
    let GcStatus { pins, garbage, .. } = status(&admin);
    assert_eq!((pins.len(), &*pins[0].name), (1, "backup"));
    assert!(pins[0].by.as_deref().is_some_and(|by| by.starts_with("unix:")), "{pins:?}");
    assert!(garbage.iter().any(|part| part.reason == GarbageReason::Pinned), "{garbage:?}");
    let shown = place.run(&["gc", "status"]).expect(0).stdout;
    assert!(shown.contains("backup holds everything until") && shown.contains("a pin holds it"), "{shown}");

    let shown = place.run(&["status"]).expect(0).stdout;
    assert!(shown.contains("\npin ") && shown.contains("backup holds everything until"), "{shown}");
    for command in [&["gc", "pin", "", "--for", "1h"][..], &["gc", "unpin", ""]] {
        place.run(command).expect(2);
    }
    // It outlives the server.
    drop(admin);
    server.stop();
    let listed = place.run(&["gc", "pins", "--json"]).expect(0).json();
    assert_eq!(listed["data"]["pins"][0]["name"], json!("backup"));
    let (_server, admin) = place.serve_with_admin();
    assert_eq!(status(&admin).pins.len(), 1);
    place.run(&["gc", "unpin", "backup"]).expect(0);
    assert!(place.run(&["gc", "unpin", "backup"]).expect(5).error().contains("there is no pin backup"));
    assert!(status(&admin).pins.is_empty());
    let ran = place.run(&["gc", "run", "--now", "--wait", "--json"]).expect(0).json();
    assert!(ran["data"]["result"]["freed_bytes"].as_u64().unwrap() >= 300_000, "{ran}");
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn only_admins_set_pins_and_what_is_not_valid_changes_nothing() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    let hanna = json!({"name": "hanna", "password": "a long password of hanna"}).to_string();
    admin.send("POST", "/api/v1/users", JSON, hanna.as_bytes()).expect(201);
    let hanna = server.client().basic("hanna", "a long password of hanna");
    hanna.get("/api/v1/gc/pins").expect(403);
    set(&hanna, "backup", "1h").expect(403);
    hanna.delete("/api/v1/gc/pins/backup").expect(403);
    server.client().get("/api/v1/gc/pins").expect(401);

    for duration in ["", "0s", "8d", "-1h", "forever", "1", "1h 2m", "99999999999d"] {
        let refused: Problem = set(&admin, "backup", duration).expect(400).read();
        assert_eq!(refused.code, "PIN_INVALID", "{duration}");
    }
    for name in ["Backup", "-a", "a%20b", "a%0Ab", "%C3%A4", &"a".repeat(65)] {
        set(&admin, name, "1h").expect(400);
        admin.delete(&format!("/api/v1/gc/pins/{name}")).expect(400);
    }
    for body in ["[]", "null", "{}", r#"{"duration": null}"#, r#"{"duration": "1h", "until": "x"}"#] {
        admin.send("PUT", "/api/v1/gc/pins/backup", JSON, body.as_bytes()).expect(400);
    }
    assert_eq!(admin.get("/api/v1/gc/pins").expect(200).read::<List<Pin>>().items, []);
    let pin: Pin = set(&admin, "backup", "1h").expect(200).read();
    assert_eq!(pin.by.as_deref(), Some("admin"));
    admin.delete("/api/v1/gc/pins/backup").expect(204);
    admin.delete("/api/v1/gc/pins/backup").expect(404);
}
