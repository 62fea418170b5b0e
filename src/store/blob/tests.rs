//! The file store through its public face.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::UploadId;
use crate::store::faulty::{Call, Fault, Faults, Plan};

fn new_store() -> (TempDir, FileBlobs) {
    let dir = tempfile::tempdir().unwrap();
    FileBlobs::create_layout(dir.path()).unwrap();
    let store = FileBlobs::open(dir.path()).unwrap();
    (dir, store)
}

fn upload(n: u8) -> UploadId {
    format!("{n:02x}6e5fa4-5f0c-4d5a-9d8e-0123456789ab").parse().unwrap()
}

/// A digest, of nothing in particular: the store does not hash.
fn digest(algorithm: Algorithm, seed: u8) -> Digest {
    let bytes = if algorithm == Algorithm::Sha512 { 64 } else { 32 };
    format!("{}:{}", algorithm.as_str(), format!("{seed:02x}").repeat(bytes)).parse().unwrap()
}

fn sha256(seed: u8) -> Digest {
    digest(Algorithm::Sha256, seed)
}

fn push(store: &dyn BlobStore, id: UploadId, digest: &Digest, content: &[u8]) -> io::Result<()> {
    let mut staged = store.create(id)?;
    staged.append(&[Bytes::copy_from_slice(content)])?;
    staged.sync()?;
    store.publish(id, digest)?;
    store.sync_shard(Shard::of(digest))
}

fn content(store: &dyn BlobStore, digest: &Digest) -> Option<Vec<u8>> {
    let blob = store.open(digest).unwrap()?;
    Some(blob.read(0, usize::MAX).unwrap().to_vec())
}

fn found(store: &dyn BlobStore) -> (Vec<(Digest, u64)>, BTreeSet<String>) {
    let (mut blobs, mut strangers) = (Vec::new(), BTreeSet::new());
    store
        .walk(&mut |entry| {
            match entry {
                Entry::Blob { digest, size, .. } => blobs.push((digest, size)),
                Entry::Stranger(path) => {
                    strangers.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
                }
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (blobs, strangers)
}

#[test]
fn what_was_pushed_comes_back() {
    let (dir, store) = new_store();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
        let digest = digest(algorithm, 0xab);
        assert!(store.open(&digest).unwrap().is_none());
        push(&store, upload(1), &digest, b"some bytes").unwrap();
        assert_eq!(content(&store, &digest).unwrap(), b"some bytes");

        let path = dir.path().join(format!("blobs/{}/ab/{}", algorithm.as_str(), digest.hex()));
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o137, 0, "at most 0640");
        let stamp = store.open(&digest).unwrap().unwrap().stamp();
        assert_eq!((stamp.inode, stamp.size), (metadata.ino(), 10));
        assert_eq!(stamp.mtime_ns, metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec());
        assert_eq!(stamp.ctime_ns, metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec());
    }
    assert!(store.uploads().unwrap().is_empty());
}

#[test]
fn an_upload_of_several_batches_is_read_back_before_it_is_published() {
    let (_dir, store) = new_store();
    let mut staged = store.create(upload(1)).unwrap();
    assert!(staged.is_empty());
    staged.append(&[]).unwrap();
    staged.append(&[Bytes::from_static(b"one "), Bytes::new(), Bytes::from_static(b"two ")]).unwrap();
    let checkpoint = staged.syncer().unwrap();
    let checkpoint = std::thread::spawn(checkpoint);
    staged.append(&[Bytes::from_static(b"three")]).unwrap();
    checkpoint.join().unwrap().unwrap();
    assert_eq!(staged.len(), 13);
    let mut buffer = [0; 20];
    assert_eq!(staged.read_at(4, &mut buffer).unwrap(), 9);
    assert_eq!(&buffer[..9], b"two three");
    staged.truncate(8).unwrap();
    assert_eq!(staged.truncate(9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    staged.append(&[Bytes::from_static(b"four")]).unwrap();
    staged.sync().unwrap();
    store.publish(upload(1), &sha256(1)).unwrap();
    assert_eq!(content(&store, &sha256(1)).unwrap(), b"one two four");
}

#[test]
fn a_large_upload_with_early_writeback_arrives_whole() {
    let (_dir, store) = new_store();
    let mut staged = store.create(upload(1)).unwrap();
    let mut expected = 0;
    for n in 0..25_u8 {
        let chunk = Bytes::from(vec![n; 3 << 20]);
        staged.append(&[chunk.slice(..1 << 20), chunk.slice(1 << 20..)]).unwrap();
        expected += 3 << 20;
    }
    assert_eq!(staged.len(), expected);
    staged.truncate(9 << 20).unwrap();
    staged.append(&[Bytes::from(vec![9; 20 << 20])]).unwrap();
    staged.sync().unwrap();
    store.publish(upload(1), &sha256(1)).unwrap();
    let blob = content(&store, &sha256(1)).unwrap();
    assert_eq!(blob.len(), 29 << 20);
    for (n, chunk) in blob.chunks(1 << 20).enumerate() {
        let expected = if n < 9 { n / 3 } else { 9 };
        assert!(chunk.iter().all(|byte| usize::from(*byte) == expected), "MiB {n}");
    }
}

#[test]
fn an_upload_id_is_staged_once() {
    let (_dir, store) = new_store();
    store.create(upload(1)).unwrap();
    assert_eq!(store.create(upload(1)).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn resuming_cuts_off_what_was_not_committed() {
    let (_dir, store) = new_store();
    assert_eq!(store.resume(upload(1), 0).err().unwrap().kind(), io::ErrorKind::NotFound);
    let mut staged = store.create(upload(1)).unwrap();
    staged.append(&[Bytes::from_static(b"committed, lost")]).unwrap();
    drop(staged);

    let mut staged = store.resume(upload(1), 9).unwrap();
    assert_eq!(staged.len(), 9);
    staged.append(&[Bytes::from_static(b"!")]).unwrap();
    drop(staged);
    assert_eq!(store.resume(upload(1), 11).err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    let mut staged = store.resume(upload(1), 10).unwrap();
    staged.sync().unwrap();
    store.publish(upload(1), &sha256(1)).unwrap();
    assert_eq!(content(&store, &sha256(1)).unwrap(), b"committed!");
}

#[test]
fn a_discarded_upload_is_gone_and_may_be_discarded_again() {
    let (_dir, store) = new_store();
    store.create(upload(1)).unwrap().append(&[Bytes::from_static(b"x")]).unwrap();
    store.create(upload(2)).unwrap();
    let mut sizes: Vec<_> = store.uploads().unwrap().iter().map(|entry| (entry.id, entry.size)).collect();
    sizes.sort_unstable_by_key(|(_, size)| *size);
    assert_eq!(sizes, [(upload(2), 0), (upload(1), 1)]);
    store.discard(upload(1)).unwrap();
    store.discard(upload(1)).unwrap();
    assert_eq!(store.uploads().unwrap().len(), 1);
}

#[test]
fn publishing_over_a_damaged_blob_heals_it() {
    let (dir, store) = new_store();
    push(&store, upload(1), &sha256(7), b"good").unwrap();
    let path = dir.path().join("blobs/sha256/07").join(sha256(7).hex());
    fs::write(&path, b"bad!").unwrap();
    let damaged = store.open(&sha256(7)).unwrap().unwrap();
    push(&store, upload(2), &sha256(7), b"good").unwrap();
    assert_eq!(content(&store, &sha256(7)).unwrap(), b"good");
    assert_ne!(store.open(&sha256(7)).unwrap().unwrap().stamp(), damaged.stamp());
    assert_eq!(&damaged.read(0, 4).unwrap()[..], b"bad!", "an open blob stays what it was");
}

#[test]
fn reads_stay_within_the_blob() {
    let (_dir, store) = new_store();
    push(&store, upload(1), &sha256(1), b"0123456789").unwrap();
    push(&store, upload(1), &sha256(2), b"").unwrap();
    let blob = store.open(&sha256(1)).unwrap().unwrap();
    assert_eq!(blob.size(), 10);
    for (offset, len, expected) in [
        (0, 10, "0123456789"),
        (3, 4, "3456"),
        (8, 100, "89"),
        (10, 5, ""),
        (11, 5, ""),
        (u64::MAX, usize::MAX, ""),
        (5, 0, ""),
    ] {
        assert_eq!(blob.read(offset, len).unwrap(), expected);
        if let Some(read) = blob.try_read(offset, len).unwrap() {
            assert!(expected.as_bytes().starts_with(&read) && read.is_empty() == expected.is_empty());
        }
    }
    assert_eq!(content(&store, &sha256(2)).unwrap(), b"");
}

#[test]
fn a_file_that_was_cut_off_is_an_error_and_not_a_short_answer() {
    let (dir, store) = new_store();
    push(&store, upload(1), &sha256(1), &[1; 10_000]).unwrap();
    let blob = store.open(&sha256(1)).unwrap().unwrap();
    let path = dir.path().join("blobs/sha256/01").join(sha256(1).hex());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap();
    assert_eq!(blob.read(0, 10_000).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(blob.read(0, 100).unwrap().len(), 100);
    match blob.try_read(5_000, 5_000) {
        Ok(None) => {}
        other => assert_eq!(other.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
    }
}

#[test]
fn quarantine_keeps_every_file() {
    let (dir, store) = new_store();
    assert!(!store.quarantine(&sha256(5)).unwrap());
    for content in [&b"first"[..], b"second", b"third"] {
        push(&store, upload(1), &sha256(5), content).unwrap();
        assert!(store.quarantine(&sha256(5)).unwrap());
        assert!(store.open(&sha256(5)).unwrap().is_none());
    }
    let name = format!("sha256-{}", sha256(5).hex());
    for (name, content) in [(name.clone(), "first"), (name.clone() + ".1", "second"), (name + ".2", "third")]
    {
        assert_eq!(fs::read_to_string(dir.path().join("quarantine").join(name)).unwrap(), content);
    }
}

#[test]
fn a_walk_tells_blobs_from_strangers() {
    let (dir, store) = new_store();
    let blobs = [sha256(0), sha256(0xff), digest(Algorithm::Sha512, 3), digest(Algorithm::Blake3, 3)];
    for blob in &blobs {
        push(&store, upload(1), blob, b"x").unwrap();
    }
    store.create(upload(2)).unwrap();
    let root = dir.path();
    fs::write(root.join("not-ours"), b"").unwrap();
    fs::write(root.join("blobs/file"), b"").unwrap();
    fs::create_dir(root.join("blobs/md5")).unwrap();
    fs::create_dir(root.join("blobs/sha256/AB")).unwrap();
    fs::create_dir(root.join("blobs/sha256/+a")).unwrap();
    fs::write(root.join("blobs/sha256/00/short"), b"").unwrap();
    // A digest in the wrong shard, in capitals, as a directory and as a link: the store would never look
    // there.
    let [wrong, capitals, directory, link] = [0x11, 0xcd, 0x12, 0x13].map(|seed| sha256(seed).hex());
    let capitals = capitals.to_uppercase();
    fs::write(root.join("blobs/sha256/00").join(&wrong), b"").unwrap();
    fs::write(root.join("blobs/sha256/cd").join(&capitals), b"").unwrap();
    fs::create_dir(root.join("blobs/sha256/12").join(&directory)).unwrap();
    symlink("/etc/hostname", root.join("blobs/sha256/13").join(&link)).unwrap();
    fs::write(root.join("uploads/stranger"), b"").unwrap();

    let (walked, strangers) = found(&store);
    assert_eq!(walked, blobs.map(|digest| (digest, 1)));
    let expected = ["file", "md5", "AB", "+a", "short", &wrong, &capitals, &directory, &link, "stranger"];
    assert_eq!(strangers, expected.map(str::to_owned).into());
    assert_eq!(store.uploads().unwrap().len(), 1);
    assert!(store.open(&sha256(0x12)).is_err());
    assert!(store.open(&sha256(0x13)).is_err(), "links are not followed");
}

#[test]
fn a_walk_stops_when_told_to() {
    let (_dir, store) = new_store();
    for seed in 0..5 {
        push(&store, upload(1), &sha256(seed), b"x").unwrap();
    }
    let mut seen = 0;
    let visit = &mut |_| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.walk(visit).unwrap();
    assert_eq!(seen, 2);
}

#[test]
fn the_file_system_has_room() {
    let (_dir, store) = new_store();
    let space = store.space().unwrap();
    assert!(space.total > 0 && space.available <= space.total);
    assert!(space.inodes_available <= space.inodes_total);
}

fn new_faulty_store() -> (TempDir, FileBlobs, Arc<Faults>) {
    let dir = tempfile::tempdir().unwrap();
    FileBlobs::create_layout(dir.path()).unwrap();
    let faults = Arc::new(Faults::recording());
    let store = FileBlobs::open_with(dir.path(), Some(Arc::clone(&faults))).unwrap();
    (dir, store, faults)
}

#[test]
fn each_call_of_a_push_can_be_made_to_fail() {
    let (dir, store, faults) = new_faulty_store();
    push(&store, upload(0), &sha256(0), b"content").unwrap();
    let calls = [
        Call::CreateStaged,
        Call::Write,
        Call::SyncFile,
        Call::Rename,
        Call::OpenDirectory,
        Call::SyncDirectory,
    ];
    assert_eq!(faults.trace(), calls);
    assert!(!faults.fired());
    let healthy = FileBlobs::open(dir.path()).unwrap();
    for n in 1..=6 {
        let id = upload(u8::try_from(n).unwrap());
        faults.set_plan(Some(Plan { fail_at: n, kind: Fault::Errno(libc::EIO) }));
        let error = push(&store, id, &sha256(1), b"content").unwrap_err();
        // An error that names its file has the kind alone.
        assert!(error.raw_os_error() == Some(libc::EIO) || error.to_string().contains("os error 5"));
        assert!(faults.fired());
        let published = content(&healthy, &sha256(1)).is_some();
        assert_eq!(published, n > 4, "only what fails behind the rename leaves a file");
        store.discard(id).unwrap();
    }
    assert_eq!(faults.calls(), 6 + (1 + 2 + 3 + 4 + 5 + 6) + 6);
    faults.set_plan(None);
    push(&store, upload(9), &sha256(1), b"content").unwrap();
}

#[test]
fn a_short_write_leaves_half_of_the_bytes() {
    let (_dir, store, faults) = new_faulty_store();
    let mut staged = store.create(upload(1)).unwrap();
    faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::ShortWrite }));
    let error = staged.append(&[Bytes::from_static(b"012"), Bytes::from_static(b"345")]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(store.uploads().unwrap()[0].size, 3);
    let mut staged = store.resume(upload(1), 1).unwrap();
    staged.append(&[Bytes::from_static(b"x")]).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(staged.read_at(0, &mut buffer).unwrap(), 2);

    store.publish(upload(1), &sha256(1)).unwrap();
    let blob = store.open(&sha256(1)).unwrap().unwrap();
    faults.set_plan(Some(Plan { fail_at: 1, kind: Fault::ShortWrite }));
    assert!(blob.try_read(0, 2).unwrap().is_none_or(|read| read == "0"));
    assert_eq!(blob.read(0, 2).unwrap(), "0x");
}

#[test]
fn a_store_is_shared_between_threads() {
    let (_dir, store) = new_store();
    let store: Arc<dyn BlobStore> = Arc::new(store);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let store = &store;
            scope.spawn(move || push(&**store, upload(n), &sha256(1), b"the same").unwrap());
        }
    });
    assert_eq!(content(&*store, &sha256(1)).unwrap(), b"the same");
    assert!(store.uploads().unwrap().is_empty());
}
