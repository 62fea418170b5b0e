//! Damaged, missing and unexpected files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::store::blob::FileBlobs;
use crate::wire::{self, Severity};

impl Store {
    fn blob(&self, digest: &Digest) -> PathBuf {
        FileBlobs::path_in(self.place.dir.path(), digest)
    }
}

/// Damages a file, runs a check, and repairs the file.
fn damage(store: &Store, damage: impl Fn(&PathBuf), deep: bool) -> BTreeSet<&'static str> {
    let path = store.blob(&store.sample.layer);
    let whole = fs::read(&path).unwrap();
    damage(&path);
    let report = store.report(deep);
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    }
    fs::write(&path, whole).unwrap();
    assert!(report.problems.iter().all(|problem| problem.severity == Severity::Damage), "{report:#?}");
    assert!(report.problems.iter().all(|problem| problem.digest == Some(store.sample.layer.to_string())));
    kinds(&report)
}

#[test]
fn a_damaged_file_is_found() {
    let store = Store::new();
    let none = BTreeSet::new();
    let remove = |path: &PathBuf| fs::remove_file(path).unwrap();
    let cut = |path: &PathBuf| fs::write(path, b"a lay").unwrap();
    let flip = |path: &PathBuf| fs::write(path, b"a lazer").unwrap();
    let replace = |path: &PathBuf| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    };
    assert_eq!(damage(&store, remove, false), BTreeSet::from(["blob_file_missing"]));
    assert_eq!(damage(&store, cut, false), BTreeSet::from(["blob_size"]));
    assert_eq!(damage(&store, replace, false), BTreeSet::from(["blob_unreadable"]));
    assert_eq!(damage(&store, flip, false), none, "only reading tells");
    assert_eq!(damage(&store, flip, true), BTreeSet::from(["blob_content"]));
    assert_eq!(damage(&store, |_| (), true), none);
}

#[test]
fn files_without_a_row_are_noted_and_old_ones_counted() {
    let mut store = Store::new();
    let root = store.place.dir.path().to_owned();
    fs::write(store.blob(&store.sample.absent), b"absent").unwrap();
    fs::write(root.join("uploads").join(UploadId::random().to_string()), b"half").unwrap();
    fs::write(root.join("uploads/notes.txt"), b"?").unwrap();
    fs::create_dir(root.join("blobs/md5")).unwrap();
    let report = store.report(true);
    assert_eq!(report.problems, []);
    assert_eq!(report.checked.orphans, 2);
    let notes = report.notes.join("\n");
    for part in [
        "1 old blob file has",
        "1 old upload has",
        "2 files among the blobs do not",
        "notes.txt",
        "blobs/md5",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(notes.contains(&store.sample.absent.to_string()));

    store.place.wall = || 0;
    let report = store.report(true);
    assert_eq!(report.problems, []);
    assert_eq!(report.checked.orphans, 0);
    let notes = report.notes.join("\n");
    assert!(notes.contains("1 young blob file has") && notes.contains("1 young upload has"), "{notes}");
}

#[test]
fn an_upload_without_its_bytes_is_found() {
    let store = Store::new();
    let path = store.place.dir.path().join("uploads").join(store.sample.upload.to_string());
    fs::write(&path, b"half of som").unwrap();
    assert_eq!(kinds(&store.report(false)), BTreeSet::from(["upload_file"]));
    fs::write(&path, b"half of something, and more that was not committed").unwrap();
    assert_eq!(store.report(false).problems, []);
    fs::remove_file(&path).unwrap();
    let report = store.report(false);
    assert_eq!(report.problems, [], "a crash between rename and commit leaves this");
    assert!(report.notes.iter().any(|note| note.starts_with("1 upload has no file")), "{:?}", report.notes);
}

#[test]
fn a_tree_that_cannot_be_read_is_damage_and_not_the_end() {
    let store = Store::new();
    let server = store.open();
    // Opened first, because opening a store creates missing directories.
    let uploads = store.place.dir.path().join("uploads");
    fs::rename(&uploads, store.place.dir.path().join("elsewhere")).unwrap();
    let report = server.check();
    assert!(kinds(&report).contains("tree_unreadable"), "{:#?}", report.problems);
    assert_eq!(report.checked.tags, 3, "everything else is checked");
    assert!(fs::metadata(store.place.dir.path()).unwrap().permissions().mode() & 0o700 == 0o700);
}

#[test]
fn the_figures_tell_what_was_looked_at() {
    let store = Store::new();
    let report = store.report(true);
    let checked = report.checked;
    assert_eq!((checked.repositories, checked.manifests, checked.tags), (2, 6, 3));
    assert_eq!((checked.links, checked.blobs, checked.uploads, checked.files), (8, 6, 1, 6));
    let blob_bytes: usize = blobs().iter().map(|blob| blob.content.len()).sum();
    let shallow = store.report(false).checked;
    assert_eq!(checked.bytes_hashed - shallow.bytes_hashed, blob_bytes as u64 + 4);

    let json = serde_json::to_value(wire::Report::from(&report)).unwrap();
    assert_eq!(json["checked"]["bytes_hashed"], checked.bytes_hashed);
    assert_eq!(json["problems"], serde_json::json!([]));
}
