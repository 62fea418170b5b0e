//! The contract of a blob store, as tests. A new store must pass [`check`] before anything uses it, and
//! [`check_with_faults`] where a test can make its disk fail.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::model::digest::{Algorithm, Digest};
use crate::model::names::UploadId;
use crate::store::faulty::{Fault, Faults, Plan};

/// A new store for one check.
pub(super) struct Subject {
    pub(super) staging: Arc<Staging>,
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) dir: TempDir,
}

type Check = fn(&Subject);

/// Runs every check, each on a new store.
pub(super) fn check(new: impl Fn() -> Subject) {
    let checks: [(&str, Check); 12] = [
        ("what was put comes back", what_was_put_comes_back),
        ("an unknown digest has no blob", an_unknown_digest_has_no_blob),
        ("a put takes the staged file", a_put_takes_the_staged_file),
        ("a put replaces what is there", a_put_replaces_what_is_there),
        ("a failed put leaves what is there", a_failed_put_leaves_what_is_there),
        ("a stamp tells one state from another", a_stamp_tells_one_state_from_another),
        ("a removed blob is gone", a_removed_blob_is_gone),
        ("what is set aside is gone until it is discarded", what_is_set_aside_is_gone_until_it_is_discarded),
        ("reads stay within the blob", reads_stay_within_the_blob),
        ("a list has each blob once", a_list_has_each_blob_once),
        ("equal barriers are one sync", equal_barriers_are_one_sync),
        ("readers see a whole blob while it is put again", readers_see_a_whole_blob),
    ];
    for (name, check) in checks {
        #[expect(clippy::print_stderr, reason = "shown with the panic of the check that fails")]
        {
            eprintln!("{name}");
        }
        check(&new());
    }
}

/// Whether the blob exists before, the number of calls to make fail, and the operation on the digest.
type Operation = (bool, usize, fn(&Subject, &Digest) -> io::Result<()>);

/// Makes each call of each operation fail once, with every fault. Afterwards the blob of before or the new
/// one must be there, intact, and repeating the operation must succeed.
pub(super) fn check_with_faults(new: impl Fn() -> (Subject, Arc<Faults>)) {
    let operations: [Operation; 5] = [
        (false, 1, put),
        (true, 1, put),
        (true, 1, remove),
        (true, 1, open_and_read),
        // A list may make a call for each directory.
        (true, 101, list),
    ];
    for kind in [Fault::Errno(libc::EIO), Fault::Errno(libc::ENOSPC), Fault::ShortWrite] {
        let (subject, faults) = new();
        let bystander = sha256(u16::MAX);
        subject.put(&bystander, b"a bystander");
        let mut seed = 0;
        for (is_there, every, operation) in operations {
            for n in (1..).step_by(every) {
                seed += 1;
                let digest = sha256(seed);
                if is_there {
                    subject.put(&digest, OLD);
                }
                faults.set_plan(Some(Plan { fail_at: n, kind }));
                let result = operation(&subject, &digest);
                let fired = faults.fired();
                faults.set_plan(None);
                let case = format!("{kind:?} at call {n} of blob {seed}: {result:?}");
                assert!(fired || result.is_ok(), "{case}");
                let left = subject.content(&digest);
                assert!([None, Some(OLD), Some(NEW)].contains(&left.as_deref()), "{case}: {left:?}");
                operation(&subject, &digest).unwrap_or_else(|error| panic!("{case}, then {error}"));
                assert_eq!(subject.content(&bystander).unwrap(), b"a bystander", "{case}");
                if !fired {
                    break;
                }
            }
        }
    }
}

const OLD: &[u8] = b"an old blob";
const NEW: &[u8] = b"a new blob";

fn put(subject: &Subject, digest: &Digest) -> io::Result<()> {
    subject.try_put(digest, NEW).map(drop)
}

fn remove(subject: &Subject, digest: &Digest) -> io::Result<()> {
    subject.blobs.remove(digest).map(drop)
}

fn open_and_read(subject: &Subject, digest: &Digest) -> io::Result<()> {
    let Some(file) = subject.blobs.open(digest)? else { panic!("the blob is gone") };
    if let Some(read) = file.try_read(0, OLD.len())? {
        assert!(OLD.starts_with(&read) && !read.is_empty());
    }
    // A short read must not pass for the whole.
    assert_eq!(file.read(0, OLD.len())?, OLD);
    Ok(())
}

fn list(subject: &Subject, digest: &Digest) -> io::Result<()> {
    let mut found = false;
    subject.blobs.list(&mut |entry| {
        found |= matches!(entry, Entry::Blob { digest: one, .. } if one == *digest);
        ControlFlow::Continue(())
    })?;
    assert!(found, "a list without an error is complete");
    Ok(())
}

pub(super) fn upload(n: u16) -> UploadId {
    format!("{n:04x}5fa4-5f0c-4d5a-9d8e-0123456789ab").parse().unwrap()
}

/// A digest of no real content: stores do not hash.
pub(super) fn digest(algorithm: Algorithm, seed: u16) -> Digest {
    let [first, second] = seed.to_be_bytes();
    let bytes = if algorithm == Algorithm::Sha512 { 64 } else { 32 };
    format!("{}:{second:02x}{}", algorithm.as_str(), format!("{first:02x}").repeat(bytes - 1))
        .parse()
        .unwrap()
}

pub(super) fn sha256(seed: u16) -> Digest {
    digest(Algorithm::Sha256, seed)
}

impl Subject {
    pub(super) fn stage(&self, id: UploadId, content: &[u8]) -> io::Result<Staged> {
        self.staging.discard(id)?;
        let mut staged = self.staging.create(id)?;
        staged.append(&[Bytes::copy_from_slice(content)])?;
        Ok(staged)
    }

    /// Runs all four steps, with an upload of its own for each digest.
    pub(super) fn try_put(&self, digest: &Digest, content: &[u8]) -> io::Result<Placed> {
        let id = upload(u16::from_be_bytes([digest.bytes()[1], digest.bytes()[0]]));
        let placed = self.blobs.put(self.stage(id, content)?.seal(digest)?)?;
        placed.barrier.map_or(Ok(()), |barrier| self.blobs.sync(barrier))?;
        Ok(placed)
    }

    pub(super) fn put(&self, digest: &Digest, content: &[u8]) -> Placed {
        self.try_put(digest, content).unwrap()
    }

    pub(super) fn content(&self, digest: &Digest) -> Option<Vec<u8>> {
        let blob = self.blobs.open(digest).unwrap()?;
        Some(blob.read(0, usize::MAX).unwrap().to_vec())
    }

    fn listed(&self) -> BTreeMap<Digest, u64> {
        let mut listed = BTreeMap::new();
        self.blobs
            .list(&mut |entry| {
                let Entry::Blob { digest, size, .. } = entry else { panic!("{entry:?}") };
                assert_eq!(listed.insert(digest, size), None, "{digest} is listed twice");
                ControlFlow::Continue(())
            })
            .unwrap();
        listed
    }
}

fn what_was_put_comes_back(subject: &Subject) {
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    for (seed, content) in [&b""[..], b"x", &[7; 4096], &long].into_iter().enumerate() {
        for algorithm in Algorithm::ALL {
            let digest = digest(algorithm, u16::try_from(seed).unwrap());
            let placed = subject.put(&digest, content);
            let blob = subject.blobs.open(&digest).unwrap().unwrap();
            assert_eq!(blob.size(), content.len() as u64);
            assert_eq!(blob.stamp(), placed.stamp);
            assert!(blob.read(0, content.len()).unwrap() == content);
        }
    }
}

fn an_unknown_digest_has_no_blob(subject: &Subject) {
    assert!(subject.blobs.open(&sha256(1)).unwrap().is_none());
    assert!(subject.blobs.set_aside(&sha256(1)).unwrap().is_none());
    assert!(subject.listed().is_empty());
    // Another algorithm gives the same bytes another digest, and another place.
    subject.put(&digest(Algorithm::Blake3, 1), b"content");
    assert!(subject.blobs.open(&sha256(1)).unwrap().is_none());
}

fn a_put_takes_the_staged_file(subject: &Subject) {
    let staged = subject.stage(upload(1), b"content").unwrap();
    subject.stage(upload(2), b"another").unwrap();
    let sealed = staged.seal(&sha256(1)).unwrap();
    assert!(subject.blobs.open(&sha256(1)).unwrap().is_none(), "sealed is not put");
    assert_eq!(subject.staging.list().unwrap().len(), 2);
    subject.blobs.put(sealed).unwrap();
    let left = subject.staging.list().unwrap();
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), [upload(2)]);
    assert!(subject.staging.resume(upload(1), 0, false).is_err(), "no upload writes to a blob");
    subject.staging.discard(upload(1)).unwrap();
    assert_eq!(subject.content(&sha256(1)).unwrap(), b"content");
}

fn a_put_replaces_what_is_there(subject: &Subject) {
    let old = subject.put(&sha256(1), b"damaged");
    let open = subject.blobs.open(&sha256(1)).unwrap().unwrap();
    let new = subject.put(&sha256(1), b"healthy and longer");
    assert_eq!(subject.content(&sha256(1)).unwrap(), b"healthy and longer");
    assert_ne!(old.stamp, new.stamp);
    assert_eq!((open.size(), open.stamp()), (7, old.stamp), "an open blob stays what it was");
    assert_eq!(open.read(0, 100).unwrap(), &b"damaged"[..]);
    assert_eq!(subject.listed(), BTreeMap::from([(sha256(1), 18)]));
}

fn a_failed_put_leaves_what_is_there(subject: &Subject) {
    for put_before in [false, true] {
        let before = subject.content(&sha256(1));
        assert_eq!(before.is_some(), put_before);
        let sealed = subject.stage(upload(9), b"never put").unwrap().seal(&sha256(1)).unwrap();
        subject.staging.discard(upload(9)).unwrap();
        assert_eq!(subject.blobs.put(sealed).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(subject.content(&sha256(1)), before);
        subject.put(&sha256(1), b"content");
    }
}

fn a_stamp_tells_one_state_from_another(subject: &Subject) {
    let mut stamps = vec![Stamp::default()];
    for digest in [sha256(1), sha256(2), sha256(1), sha256(1)] {
        let placed = subject.put(&digest, b"the same content");
        assert!(!stamps.contains(&placed.stamp), "{placed:?}");
        stamps.push(placed.stamp);
        for _ in 0..2 {
            let blob = subject.blobs.open(&digest).unwrap().unwrap();
            assert_eq!(blob.stamp(), placed.stamp);
            blob.read(0, 100).unwrap();
        }
    }
}

fn a_removed_blob_is_gone(subject: &Subject) {
    subject.put(&sha256(1), b"another one");
    for content in [&b"first"[..], b"second", b"third"] {
        subject.put(&sha256(0x101), content);
        let open = subject.blobs.open(&sha256(0x101)).unwrap().unwrap();
        // The second time there is nothing to remove.
        for _ in 0..2 {
            let barrier = subject.blobs.remove(&sha256(0x101)).unwrap();
            barrier.map_or(Ok(()), |barrier| subject.blobs.sync(barrier)).unwrap();
        }
        assert!(subject.blobs.open(&sha256(0x101)).unwrap().is_none());
        assert_eq!(open.read(0, 10).unwrap(), content, "an open blob stays readable");
        assert_eq!(subject.listed(), BTreeMap::from([(sha256(1), 11)]));
    }
    assert_eq!(subject.content(&sha256(1)).unwrap(), b"another one");
}

fn what_is_set_aside_is_gone_until_it_is_discarded(subject: &Subject) {
    let mut numbers = Vec::new();
    for content in [&b"first"[..], b"second"] {
        subject.put(&sha256(1), content);
        let aside = subject.blobs.set_aside(&sha256(1)).unwrap().unwrap();
        aside.barrier.map_or(Ok(()), |barrier| subject.blobs.sync(barrier)).unwrap();
        assert!(subject.blobs.open(&sha256(1)).unwrap().is_none() && subject.listed().is_empty());
        numbers.push(aside.number);
    }
    assert_ne!(numbers[0], numbers[1]);
    let mut aside: Vec<_> = subject.blobs.list_aside().unwrap();
    aside.sort_by_key(|aside| aside.size);
    let expected = [(numbers[0], 5), (numbers[1], 6)];
    assert_eq!(aside.iter().map(|aside| (aside.number, aside.size)).collect::<Vec<_>>(), expected);
    assert!(aside.iter().all(|aside| aside.digest == sha256(1)));
    for number in numbers {
        assert!(subject.blobs.discard_aside(&sha256(1), number).unwrap());
        assert!(!subject.blobs.discard_aside(&sha256(1), number).unwrap());
    }
    assert!(subject.blobs.list_aside().unwrap().is_empty());
}

fn reads_stay_within_the_blob(subject: &Subject) {
    subject.put(&sha256(1), b"0123456789");
    subject.put(&sha256(2), b"");
    let blob = subject.blobs.open(&sha256(1)).unwrap().unwrap();
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
    assert_eq!(subject.content(&sha256(2)).unwrap(), b"");
}

fn a_list_has_each_blob_once(subject: &Subject) {
    let expected: BTreeMap<_, _> = (0..40)
        .flat_map(|seed| Algorithm::ALL.map(|algorithm| digest(algorithm, seed * 13)))
        .zip(1..)
        .collect();
    for (digest, size) in &expected {
        subject.put(digest, &vec![1; usize::try_from(*size).unwrap()]);
    }
    // A staged file must not be listed as a blob.
    subject.stage(upload(u16::MAX), b"staged").unwrap();
    assert_eq!(subject.listed(), expected);

    let mut seen = 0;
    subject
        .blobs
        .list(&mut |entry| {
            seen += 1;
            let Entry::Blob { modified, .. } = entry else { panic!("{entry:?}") };
            #[expect(clippy::disallowed_methods, reason = "the file system's own clock is compared with it")]
            let now = SystemTime::now();
            assert!(modified + Duration::from_hours(1) > now && now + Duration::from_hours(1) > modified);
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, 2, "a break ends the list");

    let space = subject.blobs.space().unwrap();
    assert!(space.available <= space.total && space.files_available <= space.files_total);
}

fn equal_barriers_are_one_sync(subject: &Subject) {
    let mut barriers = BTreeMap::new();
    for seed in 0..300 {
        let sealed = subject.stage(upload(seed), b"x").unwrap().seal(&sha256(seed)).unwrap();
        if let Some(barrier) = subject.blobs.put(sealed).unwrap().barrier {
            *barriers.entry(barrier).or_insert(0) += 1;
        }
        assert!(subject.blobs.open(&sha256(seed)).unwrap().is_some(), "what is not durable yet can be read");
    }
    for barrier in barriers.keys() {
        // Syncing a barrier twice must be permitted.
        subject.blobs.sync(*barrier).unwrap();
        subject.blobs.sync(*barrier).unwrap();
    }
}

fn readers_see_a_whole_blob(subject: &Subject) {
    let content = |n: u8| vec![n; 100_000];
    subject.put(&sha256(1), &content(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0_u64;
                    while !done.load(Ordering::Acquire) || reads == 0 {
                        let read = subject.content(&sha256(1)).expect("the blob is always there");
                        assert!(read.len() == 100_000 && read.iter().all(|byte| *byte == read[0]));
                        reads += 1;
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..4_u8)
            .map(|writer| {
                scope.spawn(move || {
                    for n in 0..16 {
                        let id = upload(u16::from(writer) << 8 | n);
                        let staged = subject.stage(id, &content(writer)).unwrap();
                        subject.blobs.put(staged.seal(&sha256(1)).unwrap()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert!(subject.staging.list().unwrap().is_empty());
}
