//! `stowage status`: the state of a server, and an exit code for monitoring.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stowage::wire::System;

use crate::admin::program::{PASSWORD, Place};
use crate::support::content;

#[test]
fn a_running_server_tells_how_it_is() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    let status = place.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["ok"], true);
    let server_says = &status["data"]["server"];
    assert_eq!(server_says["urls"][0], format!("http://{}", server.address));
    assert_eq!(server_says["data_dir"], place.data().to_str().unwrap());
    for nothing in ["certificate_expires_at", "last_check", "last_gc", "last_scrub"] {
        assert_eq!(server_says[nothing], Value::Null, "{nothing}");
    }
    place.run(&["fsck"]).expect(0);
    let status = place.run(&["status", "--exit-code"]).expect(0).stdout;
    for part in [
        &format!("at http://{}", server.address),
        "tls      off",
        &format!("data     {}", place.data().display()),
        "pushes   accepted",
        "1 repository, 1 tag, 1 manifest, 2 blobs: ",
        " free",
        "ago), no problem",
    ] {
        assert!(status.contains(part), "{part:?} is not in {status}");
    }
}

/// Bytes of the files below a directory.
fn bytes_in(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let of = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        found if found.is_dir() => bytes_in(&entry.path()),
        found => found.len(),
    };
    entries.map(of).sum()
}

#[test]
fn what_deletions_leave_on_the_disk_is_told() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", &content::bytes(1, 3 << 20));
    let system = || admin.get("/api/v1/system").expect(200).read::<System>();
    let on_disk = bytes_in(&place.data().join("blobs"));
    assert_eq!((system().disk_bytes, system().unused_bytes), (on_disk, 0));
    admin.delete("/api/v1/repositories/team/app").expect(204);
    assert_eq!((system().repositories, system().size_bytes, system().trash), (0, 0, 1));
    place.run(&["trash", "empty", "--yes"]).expect(0);
    let left = system();
    assert_eq!((left.repositories, left.size_bytes, left.trash), (0, 0, 0));
    assert_eq!(bytes_in(&place.data().join("blobs")), on_disk);
    assert_eq!((left.disk_bytes, left.unused_bytes), (on_disk, on_disk));
    assert_eq!(left.unused_blobs, 2);
    let status = place.run(&["status"]).expect(0).stdout;
    assert!(status.contains("3 MiB on disk, of it 3 MiB that nothing uses"), "{status}");
    let checked = place.run(&["fsck"]).expect(0).stdout;
    assert!(checked.contains("2 blobs without a manifest (3 MiB)"), "{checked}");
}

#[test]
fn a_server_that_is_down_is_an_exit_code() {
    let place = Place::new();
    let ran = place.run(&["status"]).expect(4);
    assert!(ran.stderr.contains("there is no data in"), "{ran:?}");
    place.serve().stop();
    let ran = place.run(&["status"]).expect(4);
    assert!(ran.stdout.starts_with("server   down; "), "{ran:?}");
    let document = place.run(&["status", "--json"]).expect(4).json();
    assert_eq!((&document["ok"], &document["data"]["running"]), (&Value::from(false), &Value::from(false)));
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_server_that_is_down_is_the_same_exit_code_for_another_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a directory to another user");
        return;
    }
    let place = Place::new();
    place.serve().stop();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let uid_of = |line: &str| line.split(':').nth(2)?.parse::<u32>().ok();
    let named =
        users.lines().find_map(|line| Some((uid_of(line).filter(|uid| *uid > 0)?, line.split_once(':')?.0)));
    for (uid, user) in [(4_012_345, "'#4012345'")].into_iter().chain(named) {
        std::os::unix::fs::chown(place.data(), Some(uid), None).unwrap();
        let ran = place.run(&["status"]).expect(4);
        assert!(ran.error().starts_with("error: no server runs, and "), "{ran:?}");
        assert!(ran.stderr.contains(&format!("fix:   sudo -u {user} stowage ...")), "{ran:?}");
    }
}

#[test]
fn refused_pushes_are_told_with_their_reason() {
    let place = Place::new();
    let _server = place.serve_with(&[("STOWAGE__STORAGE__MIN_FREE", "99%")]);
    let ran = place.run(&["status"]).expect(0);
    assert!(ran.stdout.contains("pushes   refused: "), "{ran:?}");
    assert!(ran.stdout.contains("warning  pushes are refused: "), "{ran:?}");
    place.run(&["status", "--exit-code"]).expect(10);
}

#[test]
fn who_reached_a_limit_is_named_by_the_status_and_in_the_log() {
    let place = Place::new();
    let server = place.serve_with(&[("STOWAGE__LIMITS__STAGED", "1KiB")]);
    place.add("hanna");
    let hanna = server.client().basic("hanna", PASSWORD);
    content::push_blob(&hanna, "team/app", &content::bytes(1, 1 << 10));
    let much = content::bytes(2, 2 << 10);
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", content::sha256(&much));
    let refused = hanna.post(&path, &much).expect(503);
    assert!(refused.message().contains("limits.staged"), "{}", refused.message());

    let status = place.run(&["status"]).expect(0).stdout;
    let line = "limit    hanna (127.0.0.1) reached limits.staged = 1024: holds 0, 0 requests waiting\n";
    assert!(status.contains(line), "{status}");
    let limits = &place.run(&["status", "--json"]).expect(0).json()["data"]["limits"];
    assert_eq!((limits.as_array().unwrap().len(), &limits[0]["principal"]), (1, &json!("hanna")));

    // The stop logs what the next report would have logged.
    let log = server.stop();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told =
        lines.filter(|line| line["message"].as_str().unwrap_or_default().starts_with("a limit was reached"));
    let told: Vec<Value> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    for (field, value) in [
        ("level", json!("WARN")),
        ("principal", json!("hanna")),
        ("address", json!("127.0.0.1")),
        ("setting", json!("limits.staged")),
        ("limit", json!(1024)),
        ("times", json!(1)),
    ] {
        assert_eq!(told[0][field], value, "{field}: {}", told[0]);
    }
}
