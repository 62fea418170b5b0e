//! The sizes of the tags of a repository: what each has, and what deleting it alone would free.

use std::collections::{HashMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::below::{Below, Most, SLICE, Short, Verdict};
use crate::access::{Grant, Pull};
use crate::limits::Resource;
use crate::model::digest::Digest;
use crate::model::names::RepoId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};

/// What is read and remembered of one tag, and of the manifests of a repository that no tag leads to.
const MOST: Most = Most { manifests: 20_000, blobs: 50_000, pages: 200 };
/// Rows that are read for a page, about: then it ends, whatever its limit is.
const ROWS: usize = 200_000;

/// The size of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSize {
    /// Its name.
    pub name: String,
    /// The manifest that it points to.
    pub digest: Digest,
    /// The manifests of its image, with those that refer to them.
    pub manifests: u64,
    /// Bytes of these manifests.
    pub manifest_bytes: u64,
    /// Bytes of the blobs that these manifests refer to, each once.
    pub blob_bytes: u64,
    /// Bytes of those that would go if only this tag was deleted.
    pub unique_bytes: u64,
    /// There is more than is read for one tag: the figures are smaller than they should be.
    pub at_least: bool,
}

/// A page of the list of sizes.
#[derive(Clone, Debug, Default)]
pub struct TagSizes {
    /// The sizes, by the names of the tags.
    pub sizes: Vec<TagSize>,
    /// The tag after which the next page begins.
    pub next: Option<String>,
}

/// A page in the making.
struct Sizing {
    repository: RepoId,
    waiting: VecDeque<(String, Digest)>,
    current: Option<Current>,
    /// References of manifests that no tag leads to: they go by themselves.
    loose: HashMap<Short, u64>,
    at_least: bool,
    done: Vec<TagSize>,
    rows: usize,
}

impl Registry {
    /// Up to `limit` tags of a repository after the tag `last` in byte order, with their sizes. A page may
    /// have fewer and still be followed by another one.
    ///
    /// # Errors
    /// [`RegistryError`]: there is no such repository, or the store cannot be read.
    pub async fn tag_sizes(
        self: &Arc<Self>,
        grant: &Grant<Pull>,
        last: Option<String>,
        limit: usize,
    ) -> Result<TagSizes, RegistryError> {
        let unknown = || RegistryError::RepositoryUnknown(grant.name().clone());
        let repository = grant.repository().ok_or_else(unknown)?;
        // Held to the end, because the page needs memory, too.
        let _turn = self.admit(&grant.caller().holder(), Resource::Scans, 1).await?;
        let (mut waiting, loose, has_loose) = self
            .meta
            .scan(move |tx| {
                let loose = Below::of(repository, MOST);
                let has_loose = loose.has_loose(tx)?;
                Ok::<_, StoreError>((names(tx, repository, last.as_deref(), limit + 1)?, loose, has_loose))
            })
            .await?;
        let is_last = waiting.len() <= limit;
        waiting.truncate(limit);
        let is_counted = has_loose && !waiting.is_empty();
        let loose = if is_counted { self.in_parts(loose, Below::add_loose).await? } else { loose };
        let (at_least, loose) = (loose.found.at_least, loose.into_loose());
        let (done, rows) = (Vec::new(), 0);
        let sizing = Sizing { repository, waiting, current: None, loose, at_least, done, rows };
        let Sizing { waiting, done, .. } = self.in_parts(sizing, Sizing::advance).await?;
        let is_last = is_last && waiting.is_empty();
        let next = done.last().filter(|_| !is_last).map(|size| size.name.clone());
        Ok(TagSizes { sizes: done, next })
    }
}

impl Sizing {
    /// Reads a slice; whether the page is at its end.
    fn advance(&mut self, tx: &ReadTx) -> Result<bool, StoreError> {
        let end = self.rows + SLICE;
        while self.rows < end {
            let current = match self.current.take() {
                Some(current) => Some(current),
                None if self.rows >= ROWS && !self.done.is_empty() => None,
                None => self.waiting.pop_front().map(|tag| Current::of(self.repository, tag, self.at_least)),
            };
            let Some(mut current) = current else { return Ok(true) };
            let before = current.below.rows;
            let is_done = current.advance(tx, &self.loose)?;
            self.rows += current.below.rows - before;
            if is_done {
                self.done.push(current.size);
            } else {
                self.current = Some(current);
            }
        }
        Ok(false)
    }
}

/// A tag whose size is being computed.
struct Current {
    below: Below,
    is_walked: bool,
    size: TagSize,
}

impl Current {
    fn of(repository: RepoId, (name, digest): (String, Digest), at_least: bool) -> Self {
        let mut below = Below::of(repository, MOST);
        below.delete_tag(&name, digest);
        let size = TagSize {
            name,
            digest,
            manifests: 0,
            manifest_bytes: 0,
            blob_bytes: 0,
            unique_bytes: 0,
            at_least,
        };
        Self { below, is_walked: false, size }
    }

    /// Reads a slice; whether the size is complete.
    fn advance(&mut self, tx: &ReadTx, loose: &HashMap<Short, u64>) -> Result<bool, StoreError> {
        let Self { below, is_walked, size } = self;
        if !*is_walked {
            *is_walked = below.advance(tx)?;
            if !*is_walked {
                return Ok(false);
            }
            let found = &below.found;
            size.manifests = found.manifests + found.kept_manifests;
            size.manifest_bytes = found.manifest_bytes + found.kept_manifest_bytes;
            size.at_least |= found.at_least;
        }
        below.weigh(tx, Some(loose), &mut |_, bytes, verdict| {
            size.blob_bytes += bytes;
            // The repository itself is the one user.
            if matches!(verdict, Verdict::Lost { users } if users <= 1) {
                size.unique_bytes += bytes;
            }
        })
    }
}

fn names(
    tx: &ReadTx,
    repository: RepoId,
    last: Option<&str>,
    limit: usize,
) -> Result<VecDeque<(String, Digest)>, StoreError> {
    let mut names = VecDeque::new();
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    tx.scan_within(&schema::TAG, repository, (from, Bound::Unbounded), |name, row| {
        names.push_back((name.to_owned(), row.digest));
        if names.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(names)
}
