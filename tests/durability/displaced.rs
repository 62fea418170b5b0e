//! A database file that is removed, replaced or moved while the server runs loses no acknowledged change.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Stowage, assert_whole, directory_in_memory, refused_start, run};
use crate::support::content::{bytes, push_image};
use crate::support::{Client, eventually};

const DATABASE: &str = "stowage.redb";

fn saved(dir: &Path) -> PathBuf {
    dir.join("stowage.redb.saved-1")
}

fn assert_tag(client: &Client, tag: &str, manifest: &[u8]) {
    assert!(client.get(&format!("/v2/team/app/manifests/{tag}")).expect(200).body == manifest, "{tag}");
}

/// Asserts that a push and a deletion are refused.
#[track_caller]
fn assert_refused(client: &Client, manifest: &[u8]) {
    let headers = [("Content-Type", "application/vnd.oci.image.manifest.v1+json")];
    let put = client.send("PUT", "/v2/team/app/manifests/refused", &headers, manifest);
    let put = put.expect_error(405, "UNSUPPORTED");
    assert!(put.message().contains("removed or replaced"), "{}", put.message());
    client.delete("/v2/team/app/manifests/one").expect_error(405, "UNSUPPORTED");
}

fn status(dir: &Path) -> Value {
    let ended = run("status", &["--json"], dir);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn a_removed_database_is_saved_and_nothing_more_is_acknowledged() {
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    let client = server.client();
    let manifest = push_image(&client, "team/app", "one", &bytes(1, 1_000));
    assert_eq!(status(dir.path())["data"]["changes_refused"], Value::Null);
    fs::remove_file(dir.path().join(DATABASE)).unwrap();
    assert_refused(&client, &manifest);
    assert_tag(&client, "one", &manifest);
    let status = status(dir.path());
    assert!(status["data"]["changes_refused"].as_str().unwrap().contains("removed"), "{status}");
    let checked = run("fsck", &["--json"], dir.path());
    assert!(checked.code == Some(7) && checked.stdout.contains(DATABASE), "{checked:?}");
    eventually("the database is saved", || saved(dir.path()).exists());
    let path = dir.path().join(DATABASE).display().to_string();
    eventually("the log names the way back", || server.log().contains(&format!("saved-1 {path}")));
    server.stop();
    let refused = refused_start(dir.path());
    assert_eq!(refused.code, Some(7), "{refused:?}");
    assert!(refused.stderr.contains(&format!("mv {}", saved(dir.path()).display())), "{refused:?}");
    fs::rename(saved(dir.path()), dir.path().join(DATABASE)).unwrap();
    let server = Stowage::start(dir.path());
    assert_tag(&server.client(), "one", &manifest);
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn a_database_that_an_old_copy_replaced_just_before_the_stop_is_saved_by_the_stop() {
    let dir = directory_in_memory();
    Stowage::start(dir.path()).stop();
    let copy = dir.path().join("copy");
    fs::copy(dir.path().join(DATABASE), &copy).unwrap();
    let server = Stowage::start(dir.path());
    let manifest = push_image(&server.client(), "team/app", "one", &bytes(1, 1_000));
    fs::rename(&copy, dir.path().join(DATABASE)).unwrap();
    server.stop();
    let server = Stowage::start(dir.path());
    assert!(server.log().contains("saved-1"), "the next start says so: {}", server.log());
    server.client().get("/v2/team/app/manifests/one").expect(404);
    server.stop();
    fs::rename(saved(dir.path()), dir.path().join(DATABASE)).unwrap();
    let server = Stowage::start(dir.path());
    assert_tag(&server.client(), "one", &manifest);
    server.stop();
    assert_whole(dir.path());
}

#[test]
fn a_database_that_was_moved_away_and_back_takes_changes_again() {
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    let client = server.client();
    let manifest = push_image(&client, "team/app", "one", &bytes(1, 1_000));
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(dir.path().join(DATABASE), &elsewhere).unwrap();
    assert_refused(&client, &manifest);
    assert!(server.log().contains(&elsewhere.display().to_string()), "{}", server.log());
    fs::rename(&elsewhere, dir.path().join(DATABASE)).unwrap();
    push_image(&client, "team/app", "two", &bytes(2, 1_000));
    assert_tag(&client, "one", &manifest);
    server.stop();
    assert!(!saved(dir.path()).exists());
    assert_whole(dir.path());
}

#[test]
fn an_idle_server_notices_it_too() {
    let dir = directory_in_memory();
    let server = Stowage::start(dir.path());
    let manifest = push_image(&server.client(), "team/app", "one", &bytes(1, 1_000));
    fs::remove_file(dir.path().join(DATABASE)).unwrap();
    eventually("it is saved without any request", || saved(dir.path()).exists());
    // Now even a crash loses nothing.
    server.kill();
    fs::rename(saved(dir.path()), dir.path().join(DATABASE)).unwrap();
    let server = Stowage::start(dir.path());
    assert_tag(&server.client(), "one", &manifest);
    server.stop();
    assert_whole(dir.path());
}
