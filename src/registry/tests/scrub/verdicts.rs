//! Verdicts that are late: what was hidden, dropped or damaged again since a file was read stays hidden; and
//! what has come back whole is not dropped.

use std::time::SystemTime;

use super::*;
use crate::registry::fsck::{self, Verdict};
use crate::store::faulty::{Fault, Plan};

impl Server<'_> {
    /// What a check proves that reads the file of a blob now.
    fn whole_verdict(&self, digest: &Digest) -> Verdict {
        let row = self.meta.get(|tx| tx.get(&schema::BLOB, digest)).unwrap().unwrap();
        let stamp = self.store.open(digest).unwrap().unwrap().stamp();
        Verdict { digest: *digest, generation: row.generation, whole: Some(stamp) }
    }

    /// Hides a blob as damaged; then its file is whole again.
    fn hide_whole(&self, blob: &Blob) {
        self.flip(&blob.digest);
        self.scrub();
        fs::write(self.file(&blob.digest), &blob.content).unwrap();
    }
}

#[test]
fn what_has_come_back_whole_is_shown_and_not_dropped() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let layer = &scene.layer;
    server.hide_whole(layer);
    assert!(matches!(server.drop_damaged(&layer.digest), Err(RegistryError::NotDamaged(_))));
    assert_eq!(server.pull_blob("one", &layer.digest).unwrap(), layer.content);
    assert_eq!(server.scrub().damaged, 0);
    server.assert_clean("after it was not dropped");
}

#[test]
fn a_check_that_read_a_file_before_it_was_dropped_shows_nothing() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let layer = &scene.layer;
    server.hide_whole(layer);
    let verdict = server.whole_verdict(&layer.digest);
    server.flip(&layer.digest);
    assert_eq!(server.drop_damaged(&layer.digest).unwrap(), 7);
    let shown = server.wait(server.meta.write(move |tx| fsck::write(tx, &[verdict]))).unwrap();
    assert_eq!((shown, server.state(&layer.digest)), ((0, 0), BlobState::Corrupt));
    server.push_blob("one", &layer.content, layer.digest).unwrap();
    assert_eq!(server.pull_blob("two", &layer.digest).unwrap(), layer.content);
    server.assert_clean("after the push");
}

#[test]
fn a_blob_that_is_hidden_after_a_scrub_has_read_it_stays_hidden() {
    let place = Place::new();
    let server = place.open(true);
    let mut blobs = [blob("one"), blob("two")];
    blobs.sort_by_key(|blob| blob.digest);
    for Blob { content, digest } in &blobs {
        server.push_blob("one", content, *digest).unwrap();
    }
    // A copy of a store has other stamps than its rows say: a scrub notes them.
    let first = &blobs[0];
    let file = fs::File::options().write(true).open(server.file(&first.digest)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let done = server.scrub_until(&Scope::Everything(None), &mut |done| {
        if done.at.after == Some(first.digest) {
            server.flip(&first.digest);
            assert!(server.pull_blob("one", &first.digest).is_err());
            assert_eq!(server.state(&first.digest), BlobState::Corrupt);
        }
        true
    });
    assert_eq!((done.blobs, server.state(&first.digest)), (2, BlobState::Corrupt));
    assert!(server.pull_blob("one", &first.digest).is_err());
}

#[test]
fn without_file_handles_nothing_is_told_and_the_blob_is_read_later() {
    let place = Place::new();
    let server = place.open(true);
    Scene::set(&server);
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
        server.faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::Errno(errno) }));
        let done = server.scrub();
        assert!(server.faults.fired(), "{errno}");
        server.faults.set_plan(None);
        assert!(done.complete && done.damaged == 0 && done.blobs == 3, "{done:?}");
    }
}

#[test]
fn a_run_that_finds_no_files_rests_and_can_be_ended() {
    let place = Place::new();
    let server = place.open(true);
    for number in 0..20 {
        let blob = blob(&format!("blob {number}"));
        server.push_blob("many", &blob.content, blob.digest).unwrap();
        fs::remove_file(server.file(&blob.digest)).unwrap();
    }
    let mut looks = 0;
    let done = server.scrub_until(&Scope::Everything(None), &mut |_| {
        looks += 1;
        looks < 3
    });
    assert_eq!((done.damaged, done.complete, looks), (3, false, 3));
    let rest = server.scrub_of(&Scope::Everything(Some(done.at)));
    assert_eq!((rest.damaged, rest.complete), (17, true), "nothing is read twice");
}

#[test]
fn a_whole_blob_is_not_dropped_because_there_is_no_handle_to_read_it() {
    let place = Place::new();
    let server = place.open(true);
    let scene = Scene::set(&server);
    let layer = &scene.layer;
    server.hide_whole(layer);
    server.faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::Errno(libc::EMFILE) }));
    assert!(matches!(server.drop_damaged(&layer.digest), Err(RegistryError::Io(_))));
    server.faults.set_plan(None);
    assert_eq!(fs::read(server.file(&layer.digest)).unwrap(), layer.content);
}

#[test]
fn a_disk_that_takes_no_changes_does_not_end_a_run_at_what_could_be_shown() {
    let place = Place::new();
    let server = place.open(true);
    let mut blobs = [blob("one"), blob("two")];
    blobs.sort_by_key(|blob| blob.digest);
    for Blob { content, digest } in &blobs {
        server.push_blob("one", content, *digest).unwrap();
    }
    server.hide_whole(&blobs[0]);
    server.flip(&blobs[1].digest);
    // A database that is not at its path takes no changes.
    let [database, away] = ["stowage.redb", "away"].map(|name| place.dir.path().join(name));
    fs::rename(&database, &away).unwrap();
    let done = server.scrub();
    fs::rename(&away, &database).unwrap();
    assert!(done.complete && done.damaged == 1 && done.shown == 0, "{done:?}");
    assert_eq!(server.scrub().shown, 1);
}
