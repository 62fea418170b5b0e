//! Tests of the staged files and of the file store: the contract, and what only the file store does.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::{fs, io};

use bytes::Bytes;

use super::contract::{self, Subject, digest, sha256, upload};
use super::memory::MemoryBlobs;
use super::*;
use crate::model::digest::{Algorithm, Digest};
use crate::store::faulty::{Call, Fault, Faults, Plan};

fn open(faults: Option<Arc<Faults>>) -> Subject {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    FileBlobs::create_layout(dir.path()).unwrap();
    let blobs = FileBlobs::open_with(dir.path(), faults).unwrap();
    Subject { staging: Arc::clone(blobs.staging()), blobs: Arc::new(blobs), dir }
}

fn new_store() -> Subject {
    open(None)
}

fn new_faulty_store() -> (Subject, Arc<Faults>) {
    let faults = Arc::new(Faults::recording());
    (open(Some(Arc::clone(&faults))), faults)
}

#[test]
fn the_file_store_keeps_the_contract() {
    contract::check(new_store);
}

#[test]
fn the_file_store_on_a_disk_that_is_watched_keeps_the_contract() {
    contract::check(|| new_faulty_store().0);
}

#[test]
fn the_file_store_on_a_disk_that_fails_keeps_the_contract() {
    contract::check_with_faults(new_faulty_store);
}

#[test]
fn a_store_without_files_keeps_the_contract() {
    contract::check(|| {
        let Subject { staging, dir, .. } = new_store();
        Subject { blobs: Arc::new(MemoryBlobs::new(Arc::clone(&staging))), staging, dir }
    });
}

/// The paths of everything that does not belong in the tree.
fn strangers(subject: &Subject) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut note = |name: String| {
        found.insert(name.rsplit('/').next().unwrap().to_owned());
        ControlFlow::Continue(())
    };
    let mut visit = |entry| match entry {
        Entry::Stranger(name) => note(name),
        Entry::Blob { .. } => ControlFlow::Continue(()),
    };
    subject.blobs.list(&mut visit).unwrap();
    subject.staging.strangers(&mut note).unwrap();
    found
}

#[test]
fn a_blob_lies_under_its_digest_and_its_stamp_is_that_of_its_file() {
    let subject = new_store();
    for algorithm in Algorithm::ALL {
        let digest = digest(algorithm, 0xab);
        let placed = subject.put(&digest, b"some bytes");
        let path = subject.dir.path().join(format!("blobs/{}/ab/{}", algorithm.as_str(), digest.hex()));
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o137, 0, "at most 0640");
        let time = |seconds: i64, nanoseconds: i64| seconds * 1_000_000_000 + nanoseconds;
        let expected = Stamp::new((
            metadata.ino(),
            10,
            time(metadata.mtime(), metadata.mtime_nsec()),
            time(metadata.ctime(), metadata.ctime_nsec()),
        ));
        assert_eq!(placed.stamp, expected);
    }
}

#[test]
fn an_upload_of_several_batches_is_read_back_before_it_is_put() {
    let subject = new_store();
    let mut staged = subject.staging.create(upload(1)).unwrap();
    assert!(staged.is_empty());
    staged.append(&[]).unwrap();
    staged.append(&[Bytes::from_static(b"one "), Bytes::new(), Bytes::from_static(b"two ")]).unwrap();
    let checkpoint = staged.syncer();
    let checkpoint = std::thread::spawn(|| checkpoint.run());
    staged.append(&[Bytes::from_static(b"three")]).unwrap();
    checkpoint.join().unwrap().unwrap();
    assert_eq!(staged.len(), 13);
    let mut buffer = [0; 20];
    assert_eq!(staged.read_at(4, &mut buffer).unwrap(), 9);
    assert_eq!(&buffer[..9], b"two three");
    staged.truncate(8).unwrap();
    assert_eq!(staged.truncate(9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    staged.append(&[Bytes::from_static(b"four")]).unwrap();
    subject.blobs.put(staged.seal(&sha256(1)).unwrap()).unwrap();
    assert_eq!(subject.content(&sha256(1)).unwrap(), b"one two four");
}

#[test]
fn a_large_upload_with_early_writeback_arrives_whole() {
    let subject = new_store();
    let mut staged = subject.staging.create(upload(1)).unwrap();
    let mut expected = 0;
    for n in 0..25_u8 {
        let chunk = Bytes::from(vec![n; 3 << 20]);
        staged.append(&[chunk.slice(..1 << 20), chunk.slice(1 << 20..)]).unwrap();
        expected += 3 << 20;
    }
    assert_eq!(staged.len(), expected);
    staged.truncate(9 << 20).unwrap();
    staged.append(&[Bytes::from(vec![9; 20 << 20])]).unwrap();
    subject.blobs.put(staged.seal(&sha256(1)).unwrap()).unwrap();
    let blob = subject.content(&sha256(1)).unwrap();
    assert_eq!(blob.len(), 29 << 20);
    for (n, chunk) in blob.chunks(1 << 20).enumerate() {
        let expected = if n < 9 { n / 3 } else { 9 };
        assert!(chunk.iter().all(|byte| usize::from(*byte) == expected), "MiB {n}");
    }
}

#[test]
fn an_upload_id_is_staged_once() {
    let subject = new_store();
    subject.staging.create(upload(1)).unwrap();
    assert_eq!(subject.staging.create(upload(1)).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn resuming_cuts_off_what_was_not_committed() {
    let subject = new_store();
    let resume = |offset| subject.staging.resume(upload(1), offset, true);
    assert_eq!(resume(0).err().unwrap().kind(), io::ErrorKind::NotFound);
    drop(subject.stage(upload(1), b"committed, lost").unwrap());

    let mut staged = resume(9).unwrap();
    assert_eq!(staged.len(), 9);
    staged.append(&[Bytes::from_static(b"!")]).unwrap();
    drop(staged);
    assert_eq!(resume(11).err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    subject.blobs.put(resume(10).unwrap().seal(&sha256(1)).unwrap()).unwrap();
    assert_eq!(subject.content(&sha256(1)).unwrap(), b"committed!");
}

#[test]
fn a_file_is_synced_again_only_if_it_was_changed_since() {
    let (subject, faults) = new_faulty_store();
    let syncs = || faults.trace().iter().filter(|call| **call == Call::SyncFile).count();
    let sealed = |staged: Staged| {
        let before = syncs();
        staged.seal(&sha256(1)).unwrap();
        syncs() - before
    };
    let resumed = |offset, synced| subject.staging.resume(upload(1), offset, synced).unwrap();
    let change = [Bytes::from_static(b"changed")];

    assert_eq!(sealed(subject.staging.create(upload(2)).unwrap()), 1, "a new file");
    let staged = subject.stage(upload(1), b"content").unwrap();
    assert!(!staged.is_synced());
    staged.syncer().run().unwrap();
    assert!(staged.is_synced());
    assert_eq!(sealed(staged), 0);
    assert_eq!(sealed(resumed(7, true)), 0);
    assert_eq!(sealed(resumed(7, false)), 1, "another process closed it");
    assert_eq!(sealed(resumed(6, true)), 1, "it was truncated");

    let mut staged = resumed(6, true);
    let early = staged.syncer();
    staged.append(&change).unwrap();
    early.run().unwrap();
    assert!(!staged.is_synced(), "that sync was asked for before");
    staged.sync().unwrap();
    staged.truncate(6).unwrap();
    assert_eq!(sealed(staged), 1);
}

#[test]
fn a_discarded_upload_is_gone_and_may_be_discarded_again() {
    let subject = new_store();
    subject.stage(upload(1), b"x").unwrap();
    subject.stage(upload(2), b"").unwrap();
    let list = || subject.staging.list().unwrap();
    let mut sizes: Vec<_> = list().iter().map(|entry| (entry.id, entry.size)).collect();
    sizes.sort_unstable_by_key(|(_, size)| *size);
    assert_eq!(sizes, [(upload(2), 0), (upload(1), 1)]);
    subject.staging.discard(upload(1)).unwrap();
    subject.staging.discard(upload(1)).unwrap();
    assert_eq!(list().len(), 1);
}

#[test]
fn a_put_over_a_damaged_file_heals_it() {
    let subject = new_store();
    let good = subject.put(&sha256(7), b"good");
    let path = subject.dir.path().join("blobs/sha256/07").join(sha256(7).hex());
    fs::write(&path, b"bad!").unwrap();
    let damaged = subject.blobs.open(&sha256(7)).unwrap().unwrap();
    assert_ne!(damaged.stamp(), good.stamp);
    subject.put(&sha256(7), b"good");
    assert_eq!(subject.content(&sha256(7)).unwrap(), b"good");
    assert_eq!(&damaged.read(0, 4).unwrap()[..], b"bad!", "an open blob stays what it was");
}

#[test]
fn a_file_that_was_cut_off_is_an_error_and_not_a_short_answer() {
    let subject = new_store();
    subject.put(&sha256(1), &[1; 10_000]);
    let blob = subject.blobs.open(&sha256(1)).unwrap().unwrap();
    let path = subject.dir.path().join("blobs/sha256/01").join(sha256(1).hex());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
    assert_eq!(blob.read(0, 10_000).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(blob.read(0, 100).unwrap().len(), 100);
    match blob.try_read(5_000, 5_000) {
        Ok(None) => {}
        other => assert_eq!(other.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
    }
}

#[test]
fn what_a_reader_forgets_can_be_read_again() {
    let subject = new_store();
    subject.put(&sha256(1), &[1; 10_000]);
    let blob = subject.blobs.open(&sha256(1)).unwrap().unwrap();
    for (offset, len) in [(0, 10_000), (0, 0), (5_000, 100_000), (100_000, 1)] {
        blob.forget(offset, len);
        assert_eq!(blob.read(0, 10_000).unwrap(), [1; 10_000][..]);
    }
}

#[test]
fn what_is_set_aside_is_kept_in_quarantine() {
    let subject = new_store();
    for content in [&b"first"[..], b"second", b"third"] {
        subject.put(&sha256(5), content);
        assert!(subject.blobs.set_aside(&sha256(5)).unwrap().is_some());
    }
    let name = format!("sha256-{}", sha256(5).hex());
    for (name, content) in [(name.clone(), "first"), (name.clone() + ".1", "second"), (name + ".2", "third")]
    {
        let path = subject.dir.path().join("quarantine").join(name);
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
}

#[test]
fn a_list_tells_blobs_from_strangers() {
    let subject = new_store();
    let blobs = [sha256(0), sha256(0xff), digest(Algorithm::Sha512, 3), digest(Algorithm::Blake3, 3)];
    for blob in &blobs {
        subject.put(blob, b"x");
    }
    subject.stage(upload(2), b"").unwrap();
    let root = subject.dir.path();
    fs::write(root.join("not-ours"), b"").unwrap();
    fs::write(root.join("blobs/file"), b"").unwrap();
    fs::create_dir(root.join("blobs/md5")).unwrap();
    fs::create_dir(root.join("blobs/sha256/AB")).unwrap();
    fs::create_dir(root.join("blobs/sha256/+a")).unwrap();
    fs::write(root.join("blobs/sha256/00/short"), b"").unwrap();
    // A digest in the wrong shard, in capitals, as a directory and as a link: the store never looks for a
    // blob there.
    let [wrong, capitals, directory, link] = [0x11, 0xcd, 0x12, 0x13].map(|seed| sha256(seed).hex());
    let capitals = capitals.to_uppercase();
    fs::write(root.join("blobs/sha256/00").join(&wrong), b"").unwrap();
    fs::write(root.join("blobs/sha256/cd").join(&capitals), b"").unwrap();
    fs::create_dir(root.join("blobs/sha256/12").join(&directory)).unwrap();
    symlink("/etc/hostname", root.join("blobs/sha256/13").join(&link)).unwrap();
    fs::write(root.join("uploads/stranger"), b"").unwrap();

    let mut listed = Vec::new();
    let mut visit = |entry| {
        if let Entry::Blob { digest, size, .. } = entry {
            listed.push((digest, size));
        }
        ControlFlow::Continue(())
    };
    subject.blobs.list(&mut visit).unwrap();
    assert_eq!(listed, blobs.map(|digest| (digest, 1)));
    let expected = ["file", "md5", "AB", "+a", "short", &wrong, &capitals, &directory, &link, "stranger"];
    assert_eq!(strangers(&subject), expected.map(str::to_owned).into());
    assert_eq!(subject.staging.list().unwrap().len(), 1);
    assert!(subject.blobs.open(&sha256(0x12)).is_err());
    assert!(subject.blobs.open(&sha256(0x13)).is_err(), "links are not followed");
}

#[test]
fn the_file_system_has_room() {
    let space = new_store().blobs.space().unwrap();
    assert!(space.total > 0);
}

#[test]
fn each_call_of_a_push_can_be_made_to_fail() {
    let (subject, faults) = new_faulty_store();
    let push = |id, digest: &Digest| {
        let mut staged = subject.staging.create(id)?;
        staged.append(&[Bytes::from_static(b"content")])?;
        let placed = subject.blobs.put(staged.seal(digest)?)?;
        subject.blobs.sync(placed.barrier.unwrap())
    };
    push(upload(0), &sha256(0)).unwrap();
    let calls = [
        Call::CreateStaged,
        Call::Write,
        Call::SyncFile,
        Call::Rename,
        Call::Stat,
        Call::OpenDirectory,
        Call::SyncDirectory,
    ];
    assert_eq!(faults.trace(), calls);
    assert!(!faults.fired());
    let healthy = FileBlobs::open(subject.dir.path()).unwrap();
    for n in 1..=7 {
        let id = upload(u16::try_from(n).unwrap());
        faults.set_plan(Some(Plan { fail_at: n, kind: Fault::Errno(libc::EIO) }));
        let error = push(id, &sha256(1)).unwrap_err();
        // An error with a path has only the kind, not the number of the system's error.
        assert!(error.raw_os_error() == Some(libc::EIO) || error.to_string().contains("os error 5"));
        assert!(faults.fired());
        let is_there = healthy.open(&sha256(1)).unwrap().is_some();
        assert_eq!(is_there, n > 4, "only what fails behind the rename leaves a file");
        subject.staging.discard(id).unwrap();
    }
    assert_eq!(faults.calls(), 7 + (1 + 2 + 3 + 4 + 5 + 6 + 7) + 7);
    faults.set_plan(None);
    push(upload(9), &sha256(1)).unwrap();
}

#[test]
fn a_short_write_leaves_half_of_the_bytes_and_a_file_that_takes_no_more() {
    let (subject, faults) = new_faulty_store();
    let mut staged = subject.staging.create(upload(1)).unwrap();
    faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::ShortWrite }));
    let error = staged.append(&[Bytes::from_static(b"012"), Bytes::from_static(b"345")]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(subject.staging.list().unwrap()[0].size, 3);
    assert!(staged.append(&[Bytes::from_static(b"6")]).is_err());
    assert!(staged.seal(&sha256(1)).is_err(), "what was lost is never sealed");
    let mut staged = subject.staging.resume(upload(1), 1, false).unwrap();
    staged.append(&[Bytes::from_static(b"x")]).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(staged.read_at(0, &mut buffer).unwrap(), 2);

    subject.blobs.put(staged.seal(&sha256(1)).unwrap()).unwrap();
    let blob = subject.blobs.open(&sha256(1)).unwrap().unwrap();
    faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::ShortWrite }));
    assert!(blob.try_read(0, 2).unwrap().is_none_or(|read| read == "0"));
    assert_eq!(blob.read(0, 2).unwrap(), "0x");
}
