//! Taking what was deleted out of the trash.

use std::collections::HashSet;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{TrashView, content, end, forget, has_repository, tags as tags_of};
use crate::access::{Grant, ManageTrash};
use crate::model::audit::AuditAction;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::event::EventKind;
use crate::model::names::{RepoId, RepoName, Sequence, Tag};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::manifests::enter;
use crate::registry::{Registry, links, tags};
use crate::store::meta::schema::{self, Manifest, TrashKind, Trashed, TrashedManifest};
use crate::store::meta::{Raw, StoreError, Tx as _, WriteTx};

/// Manifests that one transaction takes out of the trash.
const SLICE: usize = 32;
/// Tags that one transaction sets again.
const TAGS_AT_ONCE: usize = 256;

impl Registry {
    /// Restores a deletion as it was: digests, tags, who pushed them and when, referrers. `name` is another
    /// name for a tag or a repository whose name is taken. A large deletion is restored in slices, its tags
    /// last; after a stop in between, restoring it again continues.
    ///
    /// # Errors
    /// [`RegistryError::TrashUnknown`], [`RegistryError::NameTaken`], [`RegistryError::RepositoryInTrash`],
    /// [`RegistryError::RestoredName`], [`RegistryError::NotInTrash`]; nothing is changed then.
    pub async fn restore(
        self: &Arc<Self>,
        grant: &Grant<ManageTrash>,
        id: Sequence,
        name: Option<String>,
    ) -> Result<TrashView, RegistryError> {
        let (registry, grant) = (Arc::clone(self), grant.carry());
        self.detached(async move {
            let restored = registry.meta.get(|tx| {
                let row = tx.get(&schema::TRASH, id)?.ok_or(RegistryError::TrashUnknown(id))?;
                let tags = tags_of(tx, id, super::TAGS_SHOWN)?;
                Ok::<_, RegistryError>(TrashView { id, row, tags, kept_for_s: 0 })
            })?;
            let limit = registry.limits.load().tags_per_repository;
            let asked = Arc::new((grant, name));
            loop {
                let asked = Arc::clone(&asked);
                let slice = move |tx: &WriteTx<'_>| {
                    let (grant, name) = &*asked;
                    grant.recheck(tx)??;
                    let row = tx.get(&schema::TRASH, id)?.ok_or(RegistryError::TrashUnknown(id))?;
                    match row.kind {
                        TrashKind::Repository => repository(tx, grant, id, &row, name.as_deref()),
                        TrashKind::Tag | TrashKind::Manifest => {
                            let new = (row.kind, name.as_deref());
                            Restoring { tx, grant, id, row: &row, tag: new_tag(new)?, limit }.slice()
                        }
                    }
                };
                if registry.meta.write(slice).await?.is_break() {
                    return Ok(restored);
                }
            }
        })
        .await
    }
}

fn new_tag((kind, name): (TrashKind, Option<&str>)) -> Result<Option<Tag>, RegistryError> {
    let wrong = |name: &str| RegistryError::RestoredName(name.to_owned());
    match (kind, name) {
        (_, None) => Ok(None),
        (TrashKind::Tag, Some(name)) => name.parse().map(Some).map_err(|_| wrong(name)),
        (_, Some(name)) => Err(wrong(name)),
    }
}

/// Gives a repository its name back, or another one.
fn repository(
    tx: &WriteTx<'_>,
    grant: &Grant<ManageTrash>,
    id: Sequence,
    row: &Trashed,
    name: Option<&str>,
) -> Result<ControlFlow<()>, RegistryError> {
    let name = name.unwrap_or(&row.name);
    let name: RepoName = name.parse().map_err(|_| RegistryError::RestoredName(name.to_owned()))?;
    if tx.has(&schema::REPOSITORY_NAME, name.as_str())? {
        return Err(RegistryError::NameTaken(format!("the repository {name}")));
    }
    let corrupt = StoreError::Corrupt { table: schema::REPOSITORY.name() };
    let repository = tx.get(&schema::REPOSITORY, row.repository)?.ok_or(corrupt)?;
    if repository.name != name.as_str() {
        let renamed = schema::Repository { name: name.to_string(), ..repository };
        tx.put(&schema::REPOSITORY, row.repository, &renamed)?;
    }
    tx.put(&schema::REPOSITORY_NAME, name.as_str(), &row.repository)?;
    if tx.any(&schema::MANIFEST, row.repository)? {
        tx.put(&schema::CATALOG, name.as_str(), &())?;
    }
    end(tx, id, row)?;
    // What was untagged waits from now on, and is looked at again.
    tx.put(&schema::DIRTY_REPOSITORY, row.repository, &tx.next_sequence())?;
    let actor = grant.caller().actor();
    tx.record(actor, EventKind::RepositoryRestored { repository: name.clone() })?;
    tx.audit(actor, AuditAction::TrashRestore, name.to_string())?;
    Ok(ControlFlow::Break(()))
}

/// A deletion of a tag or a manifest that is being restored.
struct Restoring<'a, 't> {
    tx: &'a WriteTx<'t>,
    grant: &'a Grant<ManageTrash>,
    id: Sequence,
    row: &'a Trashed,
    /// Another name for the tag.
    tag: Option<Tag>,
    limit: u64,
}

impl Restoring<'_, '_> {
    /// One transaction's part: first what is below the manifest, then the manifest with its tags. Until the
    /// manifest is back, the trash holds what was restored before it.
    fn slice(&self) -> Result<ControlFlow<()>, RegistryError> {
        let (tx, repository) = (self.tx, self.row.repository);
        if has_repository(tx, repository)? {
            return Err(RegistryError::RepositoryInTrash(self.row.name.clone()));
        }
        let corrupt = StoreError::Corrupt { table: schema::TRASH.name() };
        let root = self.row.digest.ok_or(corrupt)?;
        let tags = self.tags()?;
        self.check_names(repository, &root, &tags)?;
        let mut others = content(tx, self.id, None, SLICE + 1)?;
        others.retain(|digest| *digest != root);
        others.truncate(SLICE);
        for digest in &others {
            bring_back(tx, repository, digest)?;
        }
        if !others.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        // A later deletion has the manifest where another tag held it until then.
        if self.deepest(repository, &root)?.is_continue() {
            return Ok(ControlFlow::Continue(()));
        }
        bring_back(tx, repository, &root)?;
        let manifest = tx
            .get(&schema::MANIFEST, (repository, &root))?
            .ok_or_else(|| RegistryError::NotInTrash(root.to_string()))?;
        let is_last = tags.len() <= TAGS_AT_ONCE;
        for (old, new) in tags.iter().take(TAGS_AT_ONCE) {
            self.set(repository, (old, new), &manifest)?;
        }
        if !is_last {
            return Ok(ControlFlow::Continue(()));
        }
        self.finish(&root, tags.into_iter().map(|(_, new)| new).collect())
    }

    /// Brings back manifests of other deletions that are below one, the deepest first, up to a slice.
    fn deepest(&self, repository: RepoId, root: &Digest) -> Result<ControlFlow<()>, StoreError> {
        let (mut left, mut seen) = (SLICE, HashSet::from([*root]));
        let mut path = vec![*root];
        while let Some(at) = path.last().copied() {
            let Some(trashed) = self.tx.get(&schema::TRASH_MANIFEST, (repository, &at))? else {
                path.pop();
                continue;
            };
            let next =
                self.below(repository, &at, &trashed)?.into_iter().find(|digest| !seen.contains(digest));
            match next {
                Some(next) => {
                    seen.insert(next);
                    path.push(next);
                }
                None if path.len() == 1 => break,
                None if left == 0 => return Ok(ControlFlow::Continue(())),
                None => {
                    bring_back(self.tx, repository, &at)?;
                    path.pop();
                    left -= 1;
                }
            }
        }
        Ok(ControlFlow::Break(()))
    }

    /// What a manifest in the trash lists and what refers to it, as far as that is in the trash, too.
    fn below(
        &self,
        repository: RepoId,
        digest: &Digest,
        trashed: &TrashedManifest,
    ) -> Result<Vec<Digest>, StoreError> {
        let mut found: Vec<Digest> = trashed.manifest.children.iter().filter_map(AnyDigest::known).collect();
        let most = found.len() + SLICE;
        self.tx.scan_prefix(&schema::TRASH_REFERRER.keys(), (repository, digest), |referrer, _| {
            found.push(referrer);
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut there = Vec::new();
        for digest in found {
            if self.tx.has(&schema::TRASH_MANIFEST, (repository, &digest))? {
                there.push(digest);
            }
        }
        Ok(there)
    }

    /// The tags to set, each with the name that it gets: one more than a transaction sets, to know whether
    /// that is all.
    fn tags(&self) -> Result<Vec<(Tag, Tag)>, StoreError> {
        let mut tags: Vec<(Tag, Tag)> = Vec::new();
        let rest: (Bound<&str>, Bound<&str>) = (Bound::Unbounded, Bound::Unbounded);
        self.tx.scan_within(&schema::TRASH_TAG.keys(), self.id, rest, |tag, _| {
            if let Ok(tag) = tag.parse::<Tag>() {
                tags.push((tag.clone(), self.tag.clone().unwrap_or(tag)));
            }
            if tags.len() <= TAGS_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(tags)
    }

    /// Refuses names that have another manifest now, and more tags than a repository may have.
    fn check_names(
        &self,
        repository: RepoId,
        root: &Digest,
        tags: &[(Tag, Tag)],
    ) -> Result<(), RegistryError> {
        let mut more = 0;
        for (_, new) in tags {
            match self.tx.get(&schema::TAG, (repository, new.as_str()))? {
                Some(row) if row.digest != *root => {
                    return Err(RegistryError::NameTaken(format!("the tag {}:{new}", self.row.name)));
                }
                Some(_) => {}
                None => more += 1,
            }
        }
        tags::check_limit(self.tx, repository, more, self.limit)
    }

    fn set(
        &self,
        repository: RepoId,
        (old, new): (&Tag, &Tag),
        manifest: &Manifest,
    ) -> Result<(), StoreError> {
        let Some(row) = self.tx.get(&schema::TRASH_TAG, (self.id, old.as_str()))? else { return Ok(()) };
        self.tx.delete(&schema::TRASH_TAG, (self.id, old.as_str()))?;
        self.tx.delete(&schema::TRASH_TAG_BY_DIGEST, (repository, &row.digest, self.id))?;
        if self.tx.has(&schema::TAG, (repository, new.as_str()))? {
            return Ok(());
        }
        // The manifest may have been pushed again since.
        let (content_bytes, platform) = (manifest.content_bytes, manifest.platform.clone());
        let row = schema::Tag { content_bytes, platform, ..row };
        tags::put_back(self.tx, repository, new, &row, self.grant.caller())
    }

    fn finish(&self, root: &Digest, tags: Vec<Tag>) -> Result<ControlFlow<()>, RegistryError> {
        let Self { tx, grant, id, row, .. } = *self;
        end(tx, id, row)?;
        let actor = grant.caller().actor();
        let target = match tags.first() {
            Some(tag) if row.kind == TrashKind::Tag => format!("{}:{tag}", row.name),
            _ => format!("{}@{root}", row.name),
        };
        if let Ok(repository) = row.name.parse() {
            tx.record(actor, EventKind::ManifestRestored { repository, digest: *root, tags })?;
        }
        tx.audit(actor, AuditAction::TrashRestore, target)?;
        Ok(ControlFlow::Break(()))
    }
}

/// Brings one manifest back to its repository, if it is in the trash.
pub(in crate::registry) fn bring_back(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
) -> Result<(), StoreError> {
    let Some(trashed) = tx.get(&schema::TRASH_MANIFEST, (repository, digest))? else { return Ok(()) };
    let row = &trashed.manifest;
    let mut disk = DiskChange::default();
    for blob in &row.blobs {
        links::from_trash(tx, repository, blob, &mut disk)?;
    }
    disk.write(tx)?;
    if let Some(subject) = &row.subject
        && let Some(referrer) = tx.get(&schema::TRASH_REFERRER, (repository, subject, digest))?
    {
        tx.put(&schema::REFERRER, (repository, subject, digest), &referrer)?;
    }
    forget(tx, (repository, digest), &trashed)?;
    enter(tx, (repository, digest), row.size)?;
    // A push to another repository may have repaired the bytes meanwhile.
    let is_damaged = |body: Raw| Digest::of(digest.algorithm(), &body.0) != *digest;
    let corrupt = row.corrupt && tx.get(&schema::MANIFEST_BODY, digest)?.is_none_or(is_damaged);
    // Until a tag is set it waits like one that was just pushed.
    let row = Manifest { untagged_since: Some(tx.now().running_second()), corrupt, ..trashed.manifest };
    tx.put(&schema::MANIFEST, (repository, digest), &row)?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &tx.next_sequence())
}

/// Takes a manifest out of the trash that is pushed again: its rows are written anew.
pub(in crate::registry) fn take_out(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
) -> Result<(), StoreError> {
    let Some(trashed) = tx.get(&schema::TRASH_MANIFEST, (repository, digest))? else { return Ok(()) };
    for blob in &trashed.manifest.blobs {
        links::drop_from_trash(tx, repository, blob)?;
    }
    forget(tx, (repository, digest), &trashed)
}
