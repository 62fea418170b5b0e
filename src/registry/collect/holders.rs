//! What holds a manifest: the tags that point to it, the indexes that list it, the manifest that it refers
//! to, and everything that holds those.

use std::collections::HashSet;

use crate::model::digest::Digest;
use crate::model::names::{RepoId, Sequence};
use crate::registry::manifests::above;
use crate::registry::{Registry, trash};
use crate::store::meta::schema::{self, Link, Manifest, Pulls};
use crate::store::meta::{Row as _, StoreError, Tx};

/// Manifests of which one search reads the rows, at most. What is held by more of them stays.
const MOST: usize = 1_000;

/// Whether something holds a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// A tag leads to it.
    ByTag,
    /// It belongs to what is in the trash.
    ByTrash,
    /// It, or what holds it, was pushed, pulled, looked at or untagged lately.
    ByAge,
    /// Nothing holds it. These manifests, which are everything that could, are held by nothing either: what
    /// holds others comes before them, except in a circle.
    No(Vec<Digest>),
}

/// By what a manifest is judged.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// How long a manifest stays that no tag leads to, in running seconds.
    pub(super) age_s: u64,
    pub(super) now_s: u64,
    /// The last deletion of the trash that is as good as removed: it holds nothing, nor do those before it.
    pub(super) emptied: Sequence,
}

/// What a search learns about one of the manifests that it meets.
pub(super) enum Sight {
    /// A tag points to it: it holds what is below it.
    Tagged,
    /// No tag points to it, and it is too young to go.
    Young,
    /// It holds something only while it is held itself.
    Plain,
    /// It is taken to be gone, and holds nothing.
    Gone,
}

/// Searches for what holds a manifest of a repository. `look` is asked about it, and about each manifest that
/// may hold it. `emptied`: see [`Rules::emptied`].
pub(super) fn search(
    tx: &impl Tx,
    (repository, digest): (RepoId, &Digest),
    emptied: Sequence,
    mut look: impl FnMut(&Digest, &Manifest) -> Result<Sight, StoreError>,
) -> Result<Held, StoreError> {
    let (mut seen, mut waiting, mut by_age) = (HashSet::from([*digest]), vec![*digest], false);
    let mut found = Vec::new();
    while let Some(next) = waiting.pop() {
        if trash::needed_by(tx, (repository, &next), |entry| entry > emptied)?.is_some() {
            return Ok(Held::ByTrash);
        }
        let Some(row) = tx.get(&schema::MANIFEST, (repository, &next))? else {
            // What is absent holds nothing.
            continue;
        };
        match look(&next, &row)? {
            Sight::Gone => continue,
            Sight::Tagged => return Ok(Held::ByTag),
            Sight::Young => by_age = true,
            Sight::Plain => {}
        }
        found.push(next);
        let holders = above(tx, (repository, &next), &row, MOST)?;
        waiting.extend(holders.into_iter().filter(|holder| seen.insert(*holder)));
        if seen.len() >= MOST {
            return Ok(Held::ByAge);
        }
    }
    found.reverse();
    Ok(if by_age { Held::ByAge } else { Held::No(found) })
}

/// Whether a link loses its last reference with this many manifests of its repository that refer to it, and
/// with those in the trash.
pub(super) const fn is_freed(link: &Link, references: u64) -> bool {
    link.present && link.references == references
}

impl Registry {
    /// What holds a manifest of a repository.
    pub(super) fn holder(
        &self,
        tx: &impl Tx,
        repository: RepoId,
        digest: &Digest,
        rules: Rules,
    ) -> Result<Held, StoreError> {
        let mut by_age = false;
        search(tx, (repository, digest), rules.emptied, |next, row| {
            if tx.any(&schema::TAG_BY_DIGEST, (repository, next))? {
                return Ok(Sight::Tagged);
            }
            // One young manifest is enough; the age of the others would cost more reads.
            by_age = by_age || self.is_young(tx, (repository, next), row, (rules.age_s, rules.now_s))?;
            Ok(if by_age { Sight::Young } else { Sight::Plain })
        })
    }

    /// Whether a manifest without a tag is younger than `age_s` running seconds, was pulled since, or was
    /// promised to a client.
    fn is_young(
        &self,
        tx: &impl Tx,
        (repository, digest): (RepoId, &Digest),
        row: &Manifest,
        (age_s, now_s): (u64, u64),
    ) -> Result<bool, StoreError> {
        let stored = tx.get(&schema::PULLS.raw(), (repository, digest))?;
        let pulled = match stored.as_ref().map(|row| Pulls::decode(&row.0)) {
            // A row that cannot be read may be of a pull a moment ago.
            Some(None) => return Ok(true),
            Some(Some(pulls)) => Some(pulls.last),
            None => None,
        };
        let pulled = pulled.max(self.pulls.last(repository, digest));
        // Without a time it is tagged, and the row does not fit the index.
        let Some(untagged) = row.untagged_since else { return Ok(true) };
        let since = pulled.map_or(untagged, |pulled| pulled.max(untagged));
        // What was pushed or pulled lately is as good as promised.
        let age_s = age_s.max(self.promises.longest_s(now_s));
        Ok(now_s.saturating_sub(since.0) <= age_s
            || self.promises.noted_until(repository, digest, now_s).is_some()
            || self.promises.unknown_until(now_s).is_some())
    }
}
