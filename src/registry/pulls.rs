//! Counts pulls in memory and writes them every half minute, or earlier when there are many: a pull never
//! waits for the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::trash;
use crate::model::digest::Digest;
use crate::model::names::RepoId;
use crate::model::time::{Now, RunningSecond};
use crate::store::meta::schema::{self, Pulls};
use crate::store::meta::{Row as _, StoreError, Tx as _, WriteTx};

/// The number of pulled manifests at which they are written. Sorted by key, many share a page, so that larger
/// batches cost less for each.
const MANY: usize = 60_000;
/// The most pulled manifests that are kept, about 12 MiB (the map's next size would be twice that). When
/// writing fails or is too slow, pulls of further manifests are not counted.
const MAX_REMEMBERED: usize = 114_000;
/// Manifests whose pulls are written in one change: a push waits for one of these changes at most.
pub(super) const AT_ONCE: usize = 1_000;

/// A manifest in a repository, and its pulls.
pub(super) type Counted = ((RepoId, Digest), Pulls);

/// The pulls since the last write.
#[derive(Default)]
pub(super) struct PullCounter {
    counts: Mutex<HashMap<(RepoId, Digest), Pulls>>,
    /// What was taken and may not be written yet, in the order of keys.
    taken: Mutex<Arc<[Counted]>>,
    many: Arc<Notify>,
}

impl PullCounter {
    pub(super) fn count(&self, repository: RepoId, digest: Digest, now: Now) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let pull = Pulls { count: 1, last_ms: now.wall_ms, last: now.running_second() };
        add(&mut counts, (repository, digest), pull);
        if counts.len() == MANY {
            self.many.notify_one();
        }
    }

    /// The last pull that is not written yet.
    pub(super) fn last(&self, repository: RepoId, digest: &Digest) -> Option<RunningSecond> {
        let key = (repository, *digest);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counts.get(&key).map(|pulls| pulls.last);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let found = taken.binary_search_by_key(&key, |(key, _)| *key);
        counted.max(found.ok().map(|index| taken[index].1.last))
    }

    /// Ends when there are so many that they should be written.
    pub(super) fn are_many(&self) -> impl Future<Output = ()> + use<> {
        let many = Arc::clone(&self.many);
        async move { many.notified().await }
    }

    /// Adds back what could not be written.
    pub(super) fn give_back(&self, counted: &[Counted]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, pulls) in counted {
            add(&mut counts, *key, *pulls);
        }
    }

    /// Takes everything that was counted, in the order of keys. [`Self::last`] knows it until
    /// [`Self::written`].
    pub(super) fn take(&self) -> Arc<[Counted]> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted: Vec<_> = std::mem::take(&mut *counts).into_iter().collect();
        counted.sort_unstable_by_key(|(key, _)| *key);
        let counted: Arc<[Counted]> = counted.into();
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&counted);
        counted
    }

    /// What was taken is in rows, or was given back.
    pub(super) fn written(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}

fn add(counts: &mut HashMap<(RepoId, Digest), Pulls>, key: (RepoId, Digest), pulls: Pulls) {
    let remembered = counts.len();
    match counts.entry(key) {
        Entry::Occupied(mut sum) => {
            let sum = sum.get_mut();
            sum.count += pulls.count;
            sum.last_ms = sum.last_ms.max(pulls.last_ms);
            sum.last = sum.last.max(pulls.last);
        }
        Entry::Vacant(place) if remembered < MAX_REMEMBERED => {
            place.insert(pulls);
        }
        Entry::Vacant(_) => {}
    }
}

/// Adds counted pulls to the stored ones. Damaged rows are replaced; pulls of deleted manifests are dropped.
pub(super) fn store(tx: &WriteTx<'_>, counted: &[Counted]) -> Result<(), StoreError> {
    for ((repository, digest), pulls) in counted {
        if !trash::has_manifest(tx, *repository, digest)? {
            continue;
        }
        let stored = tx.get(&schema::PULLS.raw(), (*repository, digest))?;
        let stored = stored.and_then(|row| Pulls::decode(&row.0)).unwrap_or_default();
        let sum = Pulls {
            count: stored.count + pulls.count,
            last_ms: stored.last_ms.max(pulls.last_ms),
            last: stored.last.max(pulls.last),
        };
        tx.put(&schema::PULLS, (*repository, digest), &sum)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::digest::Algorithm;

    fn digest(number: usize) -> Digest {
        Digest::of(Algorithm::Sha256, &number.to_be_bytes())
    }

    fn at(second: u64) -> Now {
        Now { wall_ms: second, running_s: second }
    }

    fn pulls(count: u64, last: u64) -> Pulls {
        Pulls { count, last_ms: last, last: RunningSecond(last) }
    }

    fn is_time(counter: &PullCounter) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waited = async { tokio::time::timeout(Duration::ZERO, counter.are_many()).await };
        runtime.block_on(waited).is_ok()
    }

    #[test]
    fn many_pulled_manifests_are_written_before_their_time() {
        let counter = PullCounter::default();
        for number in 1..MANY {
            counter.count(RepoId(1), digest(number), at(1));
            counter.count(RepoId(1), digest(number), at(2));
        }
        assert!(!is_time(&counter));
        counter.count(RepoId(1), digest(0), at(1));
        assert!(is_time(&counter));
        assert!(!is_time(&counter), "once is enough");
    }

    #[test]
    fn pulls_that_cannot_be_written_take_bounded_memory_and_known_ones_are_counted_on() {
        let counter = PullCounter::default();
        for number in 0..MAX_REMEMBERED + 10 {
            counter.count(RepoId(1), digest(number), at(1));
        }
        let taken = counter.take();
        assert_eq!(taken.len(), MAX_REMEMBERED);
        counter.count(RepoId(1), digest(MAX_REMEMBERED + 10), at(1));
        counter.count(RepoId(1), digest(0), at(3));
        counter.give_back(&taken);
        assert_eq!(counter.last(RepoId(1), &digest(5)), Some(RunningSecond(1)), "it is not written yet");
        let all: HashMap<_, _> = counter.take().iter().copied().collect();
        assert_eq!(all.len(), MAX_REMEMBERED);
        assert_eq!(all[&(RepoId(1), digest(0))], pulls(2, 3));
        assert_eq!(all[&(RepoId(1), digest(MAX_REMEMBERED + 10))], pulls(1, 1));
    }
}
