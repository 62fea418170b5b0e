//! Fixtures of stores in older formats, as text: each must be migrated, and be intact afterwards.
//!
//! Before a change of the format, `cargo test --test durability -- --ignored write_the_present_store` saves a
//! store of the present format in `stores/format-<number>.txt`: rows in every table, the files that belong to
//! them, and a dump.

mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use stowage::lifecycle::check;
use stowage::model::digest::{Algorithm, Digest};
use stowage::model::media_type::{OCI_INDEX, OCI_MANIFEST};
use stowage::model::names::Sequence;
use stowage::model::time::RunningSecond;
use stowage::store::faulty::Faults;
use stowage::store::meta::schema::{self, Promise, Quarantined, Schedule, ScheduleRun};
use stowage::store::meta::{Older, SCHEMA};
use stowage::store::open::{Hooks, Store};

use crate::behind::change_rows;
use crate::process::{assert_whole, directory_in_memory, run};
use crate::support::content::{
    bytes, image, index, open_upload, push_blob, push_image, push_manifest, referrer,
};
use crate::support::{Client, Setup, TestStowage, eventually};
use crate::volume::Volume;

const PASSWORD: &str = "a password of the fixture";
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/durability/stores/format-{format}.txt"))
}

/// A server that makes dumps so often that a test sees one.
fn serve(directory: &Path) -> TestStowage {
    let mut setup = Setup { open: false, directory: Some(directory.to_owned()), ..Setup::default() };
    setup.config.storage.dumps.every = "1s".parse().expect("a duration");
    setup.config.storage.dumps.keep = 1;
    TestStowage::with(setup)
}

fn send(client: &Client, method: &str, path: &str, body: &serde_json::Value) -> crate::support::Response {
    client.send(method, path, JSON, body.to_string().as_bytes())
}

/// Creates rows in every table.
fn fill(server: &TestStowage) {
    let admin = server.admin();
    let first = push_image(&admin, "team/app", "1", b"layer one");
    let second = push_image(&admin, "team/app", "2", b"layer two");
    push_image(&admin, "team/other", "1", b"layer one");
    let both = index(&[&first, &second]);
    push_manifest(&admin, "team/app", "all", OCI_INDEX, &both);
    let signature = referrer(&first, "application/vnd.test.signature", &json!({"by": "a test"}));
    push_blob(&admin, "team/app", b"{}");
    let digest = crate::support::content::sha256(&signature);
    push_manifest(&admin, "team/app", &digest, OCI_MANIFEST, &signature);
    push_blob(&admin, "team/app", b"nothing refers to this");
    push_image(&admin, "team/gone", "1", b"layer three");
    admin.delete("/api/v1/repositories/team/gone").expect(204);
    let short = push_image(&admin, "team/app", "short", b"layer four");
    let signature = referrer(&short, "application/vnd.test.signature", &json!({"by": "another test"}));
    let digest = crate::support::content::sha256(&signature);
    push_manifest(&admin, "team/app", &digest, OCI_MANIFEST, &signature);
    admin.delete("/api/v1/repositories/team/app/-/tags/short").expect(204);
    let free = push_blob(&admin, "team/app", b"in no repository");
    admin.delete(&format!("/v2/team/app/blobs/{free}")).expect(202);
    let sparse = image(&[b"layer one"]);
    push_manifest(&admin, "team/app", "2", OCI_MANIFEST, &sparse);
    admin.get("/v2/team/app/manifests/1").expect(200);
    let upload = open_upload(&admin, "team/app");
    admin.patch(&upload, &bytes(1, 1000)).expect(202);
    send(&admin, "POST", "/api/v1/users", &json!({"name": "hanna", "password": PASSWORD})).expect(201);
    let token = json!({"user": "hanna", "name": "ci", "scopes": ["write_registry"]});
    send(&admin, "POST", "/api/v1/tokens", &token).expect(201);
    let hanna = server.client().basic("hanna", PASSWORD);
    hanna.get("/token?service=stowage&offline_token=true&client_id=test").expect(200);
    send(&admin, "PUT", "/api/v1/gc/pins/backup", &json!({"duration": "1h"})).expect(200);
    for round in 0..20 {
        let name = format!("user{round}");
        send(&admin, "POST", "/api/v1/users", &json!({"name": name, "password": PASSWORD})).expect(201);
        admin.delete(&format!("/api/v1/users/{name}")).expect(204);
    }
}

/// Rows that a server would write only after hours: files in quarantine, a lowered promise, scheduled runs.
fn fill_closed(dir: &Path) {
    change_rows(dir, |tx| {
        let digest = Digest::of(Algorithm::Sha256, b"in quarantine");
        let file = Quarantined { digest, number: 0, size: 13, since: RunningSecond(1) };
        tx.put(&schema::QUARANTINE, Sequence(1), &file)?;
        let promise = Promise { seconds: 3600, before_s: 7200, before_until: RunningSecond(14_400) };
        tx.put(&schema::PROMISE, (), &promise)?;
        let schedule = Schedule { when: "off".to_owned(), by: "admin".to_owned(), at_ms: 1 };
        tx.put(&schema::SCHEDULE, "gc", &schedule)?;
        let run = ScheduleRun { due_ms: 1, began_ms: 1, began: RunningSecond(1) };
        tx.put(&schema::SCHEDULE_RUN, "gc", &run)
    });
}

/// The formats of the fixtures.
fn formats() -> Vec<u32> {
    let formats: Vec<u32> = (1..=SCHEMA).filter(|format| fixture(*format).exists()).collect();
    assert!(!formats.is_empty());
    formats
}

/// Asserts that every row of the old store is unchanged, except for those that the migration changes.
fn assert_rows(format: u32, database: &Path) {
    for name in text::counts(&fixture(format)).keys() {
        let (found, expected) = (text::table(database, name), text::rows_of(&fixture(format), name));
        if name == "audit" {
            let keys = |rows: &[(Vec<u8>, Vec<u8>)]| rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>();
            assert_eq!(keys(&found), keys(&expected));
        } else if (name == "link" || name == "pulls") && format < 6 {
            // A field is new.
            let keys = |rows: &[(Vec<u8>, Vec<u8>)]| rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>();
            assert_eq!(keys(&found), keys(&expected));
        } else if name != "format" && name != "clock" {
            assert!(found == expected, "rows of {name}");
        }
    }
}

#[test]
fn the_store_of_each_format_opens_and_is_whole() {
    for format in formats() {
        let dir = directory_in_memory();
        text::read(&fixture(format), dir.path());
        let database = dir.path().join("stowage.redb");
        let old = fs::read(&database).expect("the database");
        if format < SCHEMA {
            for (command, rest) in
                [("fsck", &[][..]), ("status", &[]), ("user", &["list"]), ("repo", &["list"])]
            {
                let refused = run(command, rest, dir.path());
                assert_eq!(refused.code, Some(3), "{command}: {refused:#?}");
                assert!(refused.stderr.contains("start the server once"), "{command}: {refused:#?}");
                assert!(fs::read(&database).expect("the database") == old, "{command} changed the file");
            }
        }
        let server = serve(dir.path());
        let hanna = server.client().basic("hanna", PASSWORD);
        hanna.get("/v2/").expect(200);
        server.stop();
        assert_whole(dir.path());
        assert_eq!(text::table(&database, "outbox_cursor"), text::rows_of(&fixture(format), "outbox_cursor"));
        if format < SCHEMA {
            let copy = dir.path().join(format!("backup-before-{SCHEMA}.redb"));
            assert!(fs::read(copy).expect("a copy") == old, "the copy is not the store that was there");
        }
    }
}

#[test]
fn a_migration_that_does_not_fit_says_what_it_needs_and_changes_nothing() {
    let Some(volume) = Volume::in_memory(24) else { return };
    for format in formats().into_iter().filter(|format| *format < SCHEMA) {
        let dir = volume.path().join("data");
        fs::create_dir(&dir).expect("a directory");
        text::read(&fixture(format), &dir);
        let database = dir.join("stowage.redb");
        let old = fs::read(&database).expect("the database");
        let refused = run("serve", &["--listen", "127.0.0.1:0"], &dir);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        let needed = format!("({} bytes)", old.len() + (32 << 20));
        for text in ["no space to migrate", &needed, "free at least", "nothing was changed"] {
            assert!(refused.stderr.contains(text), "{text}: {refused:#?}");
        }
        assert!(fs::read(&database).expect("the database") == old, "the refusal changed the file");
        let copy = dir.join(format!("backup-before-{SCHEMA}.redb"));
        assert!(!copy.exists());
        volume.remount("size=200m");
        serve(&dir).stop();
        assert_whole(&dir);
        assert!(copy.exists());
        fs::remove_dir_all(&dir).expect("the directory");
        volume.remount("size=24m");
    }
}

#[test]
fn a_dump_of_each_format_is_restored() {
    for format in formats() {
        let parent = directory_in_memory();
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        fs::create_dir(&old).expect("a directory");
        text::read(&fixture(format), &old);
        fs::remove_file(old.join("stowage.redb")).expect("the database");
        let ended = run("rebuild", &["--into", new.to_str().expect("a path")], &old);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert_whole(&new);
        let audit = text::table(&new.join("stowage.redb"), "audit");
        assert_eq!(audit.len(), text::counts(&fixture(format))["audit"]);
    }
}

#[test]
fn a_migration_goes_on_wherever_it_was_cut_off() {
    for format in formats().into_iter().filter(|format| *format < SCHEMA) {
        let dir = directory_in_memory();
        text::read(&fixture(format), dir.path());
        let database = dir.path().join("stowage.redb");
        let old = fs::read(&database).expect("the database");
        let faults = Arc::new(Faults::default());
        let open = || {
            let hooks = Hooks { meta_faults: Some(Arc::clone(&faults)), ..Hooks::default() };
            Store::serve(dir.path(), dir.path(), (1 << 20, Older::CopyAndMigrate), hooks)
        };
        let mut refused = 0;
        for cut in 0_u64.. {
            fs::write(&database, &old).expect("the database");
            let errno = if cut.is_multiple_of(2) { libc::EIO } else { libc::ENOSPC };
            faults.stop_after(cut, errno);
            let cut_off = open();
            let done = cut_off.is_ok() && !faults.fired();
            refused += usize::from(cut_off.is_err());
            faults.set_plan(None);
            drop(cut_off.map(Store::close));
            open().unwrap_or_else(|error| panic!("cut {cut}: {error}")).close();
            assert_rows(format, &database);
            let report = check::offline(dir.path(), dir.path(), false, &mut |_| {}).expect("a check");
            assert!(report.problems.is_empty(), "cut {cut}: {:#?}", report.problems);
            if done {
                break;
            }
        }
        assert!(refused > 10, "{refused} calls were cut off");
    }
}

#[test]
#[ignore = "it writes a file of the source"]
fn write_the_present_store() {
    let dir = directory_in_memory();
    let server = serve(dir.path());
    fill(&server);
    server.stop();
    text::insert(&dir.path().join("stowage.redb"), "outbox_cursor", b"a consumer", &[1, 1]);
    fill_closed(dir.path());
    // The dump contains everything that was written before.
    let server = serve(dir.path());
    let before = dumps(dir.path());
    eventually("there is a dump", || dumps(dir.path()) > before);
    server.stop();
    text::write(dir.path(), &fixture(SCHEMA));
    let rows: BTreeMap<String, usize> = text::counts(&fixture(SCHEMA));
    let empty: Vec<&String> = rows
        .iter()
        .filter(|(name, count)| **count == 0 && *name != "migration")
        .map(|(name, _)| name)
        .collect();
    assert!(empty.is_empty(), "no row in {empty:?}");
}

/// The name of the newest dump.
fn dumps(dir: &Path) -> Option<String> {
    let entries = fs::read_dir(dir.join("dumps")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "dump")).max()
}
