//! The biggest repositories.
//!
//! No table is sorted by size: its rows would move with every push. The rows of usage are read instead, and
//! what was found is kept. It is read again only after a change, and so seldom that it takes at most a
//! hundredth of a core: with 100,000 repositories every few seconds. The figures themselves are always those
//! of now.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{Bound, ControlFlow};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::error::RegistryError;
use super::overview::{RepositoryView, view};
use super::{Registry, trash};
use crate::access::{Grant, ReadServer};
use crate::limits::Holder;
use crate::model::names::RepoId;
use crate::store::meta::schema::{self, Usage};
use crate::store::meta::{ReadTx, StoreError, Tx as _};

/// Repositories that are remembered in each order: the most that a list has.
const REMEMBERED: usize = 500;
/// Rows that are read in one snapshot.
const PAGE: usize = 10_000;
/// The part of a core that reading all rows takes, at most: one of so many.
const SHARE: u32 = 100;

/// An order of repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiggestBy {
    /// By the bytes of everything in it.
    Size,
    /// By the bytes of blobs that no other repository has.
    Unique,
}

impl BiggestBy {
    const fn of(self, usage: &Usage) -> u64 {
        match self {
            Self::Size => usage.bytes + usage.manifest_bytes,
            Self::Unique => usage.unique_bytes,
        }
    }
}

/// What was found when the rows were read last.
#[derive(Default)]
pub(super) struct Biggest(Mutex<Option<Ranking>>);

struct Ranking {
    /// [`Meta::changes`](crate::store::meta::Meta::changes) before the rows were read.
    changes: u64,
    made: Instant,
    /// How long that took.
    took: Duration,
    by_size: Vec<RepoId>,
    by_unique: Vec<RepoId>,
}

impl Ranking {
    fn is_good(&self, changes: u64, now: Instant) -> bool {
        self.changes == changes || now.duration_since(self.made) < self.took.saturating_mul(SHARE)
    }
}

/// The biggest of the repositories that were read so far.
#[derive(Default)]
struct Top(BinaryHeap<Reverse<(u64, RepoId)>>);

impl Top {
    fn add(&mut self, bytes: u64, repository: RepoId) {
        if self.0.len() == REMEMBERED {
            if self.0.peek().is_some_and(|Reverse(least)| *least >= (bytes, repository)) {
                return;
            }
            self.0.pop();
        }
        self.0.push(Reverse((bytes, repository)));
    }

    fn ids(self) -> Vec<RepoId> {
        self.0.into_iter().map(|Reverse((_, repository))| repository).collect()
    }
}

impl Registry {
    /// Up to `limit` of the biggest repositories, the biggest first.
    ///
    /// # Errors
    /// [`RegistryError`]: the store cannot be read.
    pub async fn biggest(
        &self,
        grant: &Grant<ReadServer>,
        by: BiggestBy,
        limit: usize,
    ) -> Result<Vec<RepositoryView>, RegistryError> {
        let holder = grant.caller().holder();
        let mut known = self.biggest.0.lock().await;
        let changes = self.meta.changes();
        if !known.as_ref().is_some_and(|ranking| ranking.is_good(changes, Instant::now())) {
            *known = Some(self.rank(&holder, changes).await?);
        }
        let ids = match (&*known, by) {
            (Some(ranking), BiggestBy::Size) => ranking.by_size.clone(),
            (Some(ranking), BiggestBy::Unique) => ranking.by_unique.clone(),
            (None, _) => Vec::new(),
        };
        drop(known);
        let read = move |tx: &ReadTx| {
            let mut views = Vec::with_capacity(ids.len());
            for id in ids {
                // One in the trash has no name.
                if !trash::has_repository(tx, id)? {
                    views.extend(view(tx, id)?);
                }
            }
            Ok(views)
        };
        let mut views: Vec<RepositoryView> = self.scan(&holder, read).await?;
        views.retain(|view| view.usage.manifests > 0);
        views.sort_by_key(|view| (Reverse(by.of(&view.usage)), view.name.clone()));
        views.truncate(limit);
        Ok(views)
    }

    async fn rank(&self, holder: &Holder, changes: u64) -> Result<Ranking, RegistryError> {
        let made = Instant::now();
        let (mut took, mut after) = (Duration::ZERO, None);
        let (mut by_size, mut by_unique) = (Top::default(), Top::default());
        loop {
            let read = move |tx: &ReadTx| {
                let begun = Instant::now();
                let last = read_page(tx, after, &mut by_size, &mut by_unique)?;
                Ok((last, by_size, by_unique, begun.elapsed()))
            };
            let (last, size, unique, part) = self.scan(holder, read).await?;
            (by_size, by_unique, took) = (size, unique, took + part);
            after = last;
            if after.is_none() {
                break;
            }
        }
        Ok(Ranking { changes, made, took, by_size: by_size.ids(), by_unique: by_unique.ids() })
    }
}

/// Reads a page of the usage of repositories; where the next one begins.
fn read_page(
    tx: &ReadTx,
    after: Option<RepoId>,
    by_size: &mut Top,
    by_unique: &mut Top,
) -> Result<Option<RepoId>, StoreError> {
    let (mut rows, mut last) = (0, None);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_range(&schema::USAGE_REPOSITORY, (from, Bound::Unbounded), |repository, usage| {
        // Without a manifest it is in no list of repositories.
        if usage.manifests > 0 {
            by_size.add(BiggestBy::Size.of(&usage), repository);
            by_unique.add(BiggestBy::Unique.of(&usage), repository);
        }
        rows += 1;
        last = (rows == PAGE).then_some(repository);
        if rows < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_read_again_after_a_change_and_seldom() {
        let made = Instant::now();
        let took = Duration::from_millis(30);
        let ranking = Ranking { changes: 7, made, took, by_size: Vec::new(), by_unique: Vec::new() };
        assert!(ranking.is_good(7, made + Duration::from_hours(1)), "nothing has changed");
        assert!(ranking.is_good(8, made + Duration::from_millis(2_999)));
        assert!(!ranking.is_good(8, made + Duration::from_secs(3)));
    }

    #[test]
    fn only_the_biggest_are_remembered() {
        let mut top = Top::default();
        (0..2_000).for_each(|number| top.add(number * 7_919 % 2_000, RepoId(number)));
        let mut found: Vec<u64> = top.ids().iter().map(|id| id.0 * 7_919 % 2_000).collect();
        found.sort_unstable();
        assert_eq!(found, (1_500..2_000).collect::<Vec<_>>());
    }
}
