//! Promises: a response that says that a blob exists lets a client skip its upload, so the blob must stay for
//! `storage.gc.promise` running seconds.
//!
//! Scheduled collection of blobs needs none of what is kept here: it waits for twice the promise since a link
//! lost its last reference. Freeing the space now asks what was promised, and so does the collection of
//! manifests. Promises that no row shows (`HEAD`, mounts, repeated uploads) are noted in Bloom filters, each
//! of a part of the time, so content is at worst kept for longer than it must. After a server was killed,
//! every promise may have been given.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::model::time::RunningSecond;
use crate::store::meta::schema::{self, Link, Promise, Promised, PromisedPart};
use crate::store::meta::{Change, Meta, Raw, Row as _, StoreError, Tx as _, WriteTx};

/// Bits of one filter, as words: 512 KiB. With 400,000 promises in it, one link in 80 seems promised that is
/// not.
const WORDS: usize = 1 << 16;
const BITS: u64 = (WORDS as u64) * 64;
/// Bits that each promise sets.
const HASHES: u64 = 4;
/// Seconds between the choice of a part and the note in it, at most.
const SLOW_S: u64 = 60;
/// Parts in which the time of one promise is divided: a link is kept for at most this share of it too long.
const PARTS: u64 = 4;

/// The promises of a server.
pub(super) struct Promises {
    in_force: ArcSwap<Promise>,
    /// The newest part is the last one.
    parts: Mutex<VecDeque<Arc<Part>>>,
    newest: ArcSwap<Part>,
    /// Running second until which unknown promises of a server that was killed may hold; 0: all are known.
    unknown_until_s: AtomicU64,
    /// Odd while the space is being freed now.
    freeing: AtomicU64,
}

/// Promises of a part of the time.
struct Part {
    begun_s: u64,
    last_s: AtomicU64,
    /// Made with the first promise.
    bits: OnceLock<Box<[AtomicU64]>>,
}

impl Part {
    fn begin(begun_s: u64) -> Arc<Self> {
        Arc::new(Self { begun_s, last_s: AtomicU64::new(begun_s), bits: OnceLock::new() })
    }

    fn note(&self, hashes: [u64; 2], now_s: u64) {
        let bits = self.bits.get_or_init(|| (0..WORDS).map(|_| AtomicU64::new(0)).collect());
        for (word, bit) in places(hashes) {
            bits[word].fetch_or(bit, Ordering::SeqCst);
        }
        self.last_s.fetch_max(now_s, Ordering::SeqCst);
    }

    fn has(&self, hashes: [u64; 2]) -> bool {
        let Some(bits) = self.bits.get() else { return false };
        places(hashes).all(|(word, bit)| bits[word].load(Ordering::SeqCst) & bit != 0)
    }
}

/// The places of a promise in a filter: double hashing.
fn places([first, second]: [u64; 2]) -> impl Iterator<Item = (usize, u64)> {
    (0..HASHES).map(move |number| {
        let place = first.wrapping_add(number.wrapping_mul(second | 1)) % BITS;
        (usize::try_from(place / 64).unwrap_or_default(), 1 << (place % 64))
    })
}

/// Two numbers from a digest, whose bytes are as good as random, and a repository.
fn hashes(repository: RepoId, digest: &Digest) -> [u64; 2] {
    let word = |from: usize| {
        let bytes = digest.bytes().get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).unwrap_or_default()
    };
    // An odd number with bits in every byte spreads the small numbers of repositories.
    let repository = repository.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [word(0) ^ repository, word(8) ^ repository.rotate_left(32)]
}

impl Promises {
    /// The promises of a server that starts, with the promise of its settings. Until [`Self::recall`], any
    /// promise may have been given.
    pub(super) fn new(seconds: u64) -> Self {
        let first = Part::begin(0);
        Self {
            in_force: ArcSwap::from_pointee(Promise { seconds, ..Promise::default() }),
            parts: Mutex::new(VecDeque::from([Arc::clone(&first)])),
            newest: ArcSwap::new(first),
            unknown_until_s: AtomicU64::new(u64::MAX),
            freeing: AtomicU64::new(0),
        }
    }

    fn parts(&self) -> MutexGuard<'_, VecDeque<Arc<Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest promise that may still hold, in running seconds.
    pub(super) fn longest_s(&self, now_s: u64) -> u64 {
        longest(&self.in_force.load(), now_s)
    }

    /// Notes that a client was, or is about to be, told that the blob exists.
    pub(super) fn note(&self, repository: RepoId, digest: &Digest, now_s: u64) {
        let mut newest = self.newest.load_full();
        if now_s.saturating_sub(newest.begun_s) > self.longest_s(now_s) / PARTS {
            newest = self.begin_part(now_s);
        }
        newest.note(hashes(repository, digest), now_s);
    }

    /// Begins another part of the time, and forgets those whose promises are over.
    fn begin_part(&self, now_s: u64) -> Arc<Part> {
        let longest_s = self.longest_s(now_s);
        let mut parts = self.parts();
        let newest = self.newest.load_full();
        // Another request was faster.
        if now_s.saturating_sub(newest.begun_s) <= longest_s / PARTS {
            return newest;
        }
        parts.retain(|part| {
            // A request that has chosen the part may be slow to note its promise there.
            let last_s = part.last_s.load(Ordering::SeqCst).max(part.begun_s + longest_s / PARTS + SLOW_S);
            last_s.saturating_add(longest_s) >= now_s
        });
        let newest = Part::begin(now_s);
        parts.push_back(Arc::clone(&newest));
        self.newest.store(Arc::clone(&newest));
        newest
    }

    /// The last running second for which the link may have been promised; `None` if nothing was promised that
    /// still holds. Call it in a write transaction between [`Self::freeing`] and its end.
    pub(super) fn until(
        &self,
        (repository, digest): (RepoId, &AnyDigest),
        link: &Link,
        now_s: u64,
    ) -> Option<RunningSecond> {
        let Some(known) = digest.known() else { return Some(RunningSecond(u64::MAX)) };
        let fresh =
            link.fresh.then(|| RunningSecond(link.zero_since.0.saturating_add(self.longest_s(now_s))));
        let noted = self.noted_until(repository, &known, now_s);
        fresh.max(noted).filter(|until| until.0 >= now_s).max(self.unknown_until(now_s))
    }

    /// The last running second for which a promise was noted that still holds.
    pub(super) fn noted_until(
        &self,
        repository: RepoId,
        digest: &Digest,
        now_s: u64,
    ) -> Option<RunningSecond> {
        let (hashes, longest_s) = (hashes(repository, digest), self.longest_s(now_s));
        let parts = self.parts();
        let noted = parts.iter().filter(|part| part.has(hashes));
        let until = noted.map(|part| part.last_s.load(Ordering::SeqCst).saturating_add(longest_s)).max();
        until.filter(|until| *until >= now_s).map(RunningSecond)
    }

    /// Until when unknown promises may hold; `None` if all are known.
    pub(super) fn unknown_until(&self, now_s: u64) -> Option<RunningSecond> {
        let until = self.unknown_until_s.load(Ordering::SeqCst);
        (until > 0 && until >= now_s).then_some(RunningSecond(until))
    }

    /// Begins to free the space now: from here on, [`Self::freeings`] differs for every request that has not
    /// noted its promise yet.
    pub(super) fn freeing(self: &Arc<Self>) -> Freeing {
        self.freeing.fetch_add(1, Ordering::SeqCst);
        Freeing(Arc::clone(self))
    }

    /// A number that is odd while the space is being freed now, and different after it. A request that reads
    /// the same even number before it looks for a blob and after it has noted its promise need not wait: a
    /// run that begins later finds the note. Any other request looks again in a write transaction.
    pub(super) fn freeings(&self) -> u64 {
        self.freeing.load(Ordering::SeqCst)
    }

    /// Puts another promise into force; the row for it.
    pub(super) fn set(&self, seconds: u64, now_s: u64) -> Promise {
        let new = changed(&self.in_force.load(), seconds, now_s);
        self.in_force.store(Arc::new(new));
        new
    }

    /// Reads what the last server has promised, and whether a longer promise still applies. `is_clean`:
    /// the last server has stopped, and was not killed.
    pub(super) async fn recall(&self, meta: &Meta, is_clean: bool) -> Result<(), StoreError> {
        let seconds = self.in_force.load().seconds;
        let now_s = meta.clock().now().running_s;
        let (row, promised) = meta
            .change(Change::undumped(0), move |tx| {
                // Rows that cannot be read keep no server from starting: what they say is not known.
                let row = tx.get(&schema::PROMISE.raw(), ())?.and_then(|Raw(row)| Promise::decode(&row));
                let row = row.map_or(Promise { seconds, ..Promise::default() }, |old| {
                    changed(&old, seconds, tx.now().running_s)
                });
                store(tx, row)?;
                // It must be gone before a promise is given that it does not have.
                let promised = tx.get(&schema::PROMISED.raw(), ())?;
                if promised.is_some() {
                    tx.delete(&schema::PROMISED, ())?;
                }
                Ok::<_, StoreError>((row, promised.and_then(|Raw(row)| Promised::decode(&row))))
            })
            .await?;
        self.in_force.store(Arc::new(row));
        let unknown_until_s = match promised.filter(|_| is_clean) {
            Some(promised) => {
                self.adopt(promised);
                0
            }
            None => now_s.saturating_add(longest(&row, now_s)),
        };
        self.unknown_until_s.store(unknown_until_s, Ordering::SeqCst);
        Ok(())
    }

    fn adopt(&self, promised: Promised) {
        let mut parts = self.parts();
        for PromisedPart { last, bits } in promised.parts {
            if bits.len() == WORDS {
                let bits = OnceLock::from(bits.into_iter().map(AtomicU64::new).collect::<Box<[_]>>());
                parts.push_front(Arc::new(Part { begun_s: last.0, last_s: AtomicU64::new(last.0), bits }));
            }
        }
    }

    /// Stores what was promised, for the next start. Call it when no request runs any more.
    pub(super) async fn remember(&self, meta: &Meta) -> Result<(), StoreError> {
        let now_s = meta.clock().now().running_s;
        // The next server does not know either.
        if self.unknown_until(now_s).is_some() {
            return Ok(());
        }
        let longest_s = self.longest_s(now_s);
        let mut promised = Promised::default();
        for part in self.parts().iter() {
            let last = RunningSecond(part.last_s.load(Ordering::SeqCst));
            let Some(bits) = part.bits.get().filter(|_| last.0 + longest_s >= now_s) else { continue };
            let bits = bits.iter().map(|word| word.load(Ordering::SeqCst)).collect();
            promised.parts.push(PromisedPart { last, bits });
        }
        let bytes = promised.parts.len() * WORDS * 8;
        meta.change(Change::undumped(bytes), move |tx| tx.put(&schema::PROMISED, (), &promised)).await
    }
}

/// Held while the space is being freed now.
pub(super) struct Freeing(Arc<Promises>);

impl Drop for Freeing {
    fn drop(&mut self) {
        self.0.freeing.fetch_add(1, Ordering::SeqCst);
    }
}

fn longest(promise: &Promise, now_s: u64) -> u64 {
    let before_s = if now_s < promise.before_until.0 { promise.before_s } else { 0 };
    promise.seconds.max(before_s)
}

/// The row after the setting has changed. A promise that is lowered applies for twice its time: links
/// that lost their last reference under it have a grace of that length.
fn changed(old: &Promise, seconds: u64, now_s: u64) -> Promise {
    let longest_s = longest(old, now_s);
    if seconds >= longest_s {
        return Promise { seconds, ..Promise::default() };
    }
    if old.seconds == seconds {
        return *old;
    }
    let before_until = RunningSecond(now_s.saturating_add(longest_s.saturating_mul(2)));
    Promise { seconds, before_s: longest_s, before_until }
}

/// Writes the row if it differs.
pub(super) fn store(tx: &WriteTx<'_>, promise: Promise) -> Result<(), StoreError> {
    let row = tx.get(&schema::PROMISE.raw(), ())?;
    if row.and_then(|Raw(row)| Promise::decode(&row)) == Some(promise) {
        return Ok(());
    }
    tx.put(&schema::PROMISE, (), &promise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Algorithm;

    const REPOSITORY: RepoId = RepoId(7);

    fn digest(number: u32) -> Digest {
        Digest::of(Algorithm::Sha256, &number.to_be_bytes())
    }

    fn known(promises: &Promises) {
        promises.unknown_until_s.store(0, Ordering::SeqCst);
    }

    fn until(promises: &Promises, number: u32, now_s: u64) -> Option<u64> {
        let digest = AnyDigest::from(digest(number));
        promises.until((REPOSITORY, &digest), &Link::default(), now_s).map(|until| until.0)
    }

    #[test]
    fn a_promise_holds_for_its_time_and_not_for_much_longer() {
        let promises = Promises::new(100);
        known(&promises);
        promises.note(REPOSITORY, &digest(1), 10);
        promises.note(REPOSITORY, &digest(2), 20);
        assert_eq!(until(&promises, 1, 110), Some(120), "its part ends with the promise at 20");
        assert_eq!(until(&promises, 3, 20), None);
        promises.note(REPOSITORY, &digest(4), 60);
        assert_eq!(until(&promises, 1, 120), Some(120));
        assert_eq!(until(&promises, 1, 121), None);
        assert_eq!(until(&promises, 4, 121), Some(160));
        assert_eq!(until(&promises, 4, 161), None);
        for now_s in (200..10_000).step_by(10) {
            promises.note(REPOSITORY, &digest(5), now_s);
        }
        assert!(promises.parts().len() <= 10, "parts whose promises are over are forgotten");
    }

    #[test]
    fn another_repository_was_promised_nothing() {
        let promises = Promises::new(100);
        known(&promises);
        (0..1000).for_each(|number| promises.note(REPOSITORY, &digest(number), 10));
        let other =
            |number| promises.until((RepoId(8), &digest(number).into()), &Link::default(), 10).is_some();
        assert!((0..1000).all(|number| until(&promises, number, 10).is_some()));
        assert_eq!((0..1000).filter(|number| other(*number)).count(), 0);
    }

    #[test]
    fn an_upload_that_no_manifest_has_named_is_a_promise() {
        let promises = Promises::new(100);
        known(&promises);
        let link = Link { fresh: true, zero_since: RunningSecond(50), ..Link::default() };
        let until = |now_s| promises.until((REPOSITORY, &digest(1).into()), &link, now_s);
        assert_eq!((until(150), until(151)), (Some(RunningSecond(150)), None));
    }

    #[test]
    fn a_longer_promise_stays_in_force_after_it_was_lowered() {
        let first = Promise { seconds: 100, ..Promise::default() };
        let lowered = changed(&first, 10, 1000);
        assert_eq!(lowered, Promise { seconds: 10, before_s: 100, before_until: RunningSecond(1200) });
        assert_eq!((longest(&lowered, 1199), longest(&lowered, 1200)), (100, 10));
        assert_eq!(changed(&lowered, 10, 1100), lowered, "a restart changes nothing");
        let again = changed(&lowered, 50, 1100);
        assert_eq!(again, Promise { seconds: 50, before_s: 100, before_until: RunningSecond(1300) });
        assert_eq!(changed(&lowered, 100, 1100), first);
        assert_eq!(changed(&lowered, 20, 1300), Promise { seconds: 20, ..Promise::default() });
    }
}
