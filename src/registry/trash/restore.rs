//! Taking what was deleted out of the trash.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{TrashView, content, end, forget, has_manifest, has_repository, name_of, tags as tags_of};
use crate::access::{Grant, ManageTrash};
use crate::model::audit::AuditAction;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::event::EventKind;
use crate::model::names::{RepoId, RepoName, Sequence, Tag};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::manifests::enter;
use crate::registry::{Registry, links, tags};
use crate::store::meta::schema::{self, Manifest, TrashKind, Trashed};
use crate::store::meta::{Raw, StoreError, Tx as _, WriteTx};

/// References of the manifests that one transaction takes out of the trash, about.
const REFERENCES: usize = 2_000;
/// Manifests of a deletion that one transaction lists.
const SLICE: usize = 64;
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
                let row = Trashed { name: name_of(tx, &row)?, ..row };
                let tags = tags_of(tx, id, super::TAGS_SHOWN)?;
                Ok::<_, RegistryError>(TrashView { id, row, tags, kept_for_s: 0 })
            })?;
            let limit = registry.limits.load().tags_per_repository;
            let asked = Arc::new((grant, name));
            let mut is_first = true;
            loop {
                let asked = Arc::clone(&asked);
                let slice = move |tx: &WriteTx<'_>| {
                    let (grant, name) = &*asked;
                    grant.recheck(tx)??;
                    let row = tx.get(&schema::TRASH, id)?.filter(|row| !row.emptying);
                    let row = row.ok_or(RegistryError::TrashUnknown(id))?;
                    let row = Trashed { name: name_of(tx, &row)?, ..row };
                    match row.kind {
                        TrashKind::Repository => repository(tx, grant, id, &row, name.as_deref()),
                        TrashKind::Tag | TrashKind::Manifest => {
                            let new = (row.kind, name.as_deref());
                            Restoring { tx, grant, id, row: &row, tag: new_tag(new)?, limit }.slice(is_first)
                        }
                    }
                };
                if registry.meta.write(slice).await?.is_break() {
                    return Ok(restored);
                }
                is_first = false;
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
    fn slice(&self, is_first: bool) -> Result<ControlFlow<()>, RegistryError> {
        let (tx, repository) = (self.tx, self.row.repository);
        if has_repository(tx, repository)? {
            return Err(RegistryError::RepositoryInTrash(self.row.name.clone()));
        }
        let corrupt = StoreError::Corrupt { table: schema::TRASH.name() };
        let root = self.row.digest.ok_or(corrupt)?;
        if !has_manifest(tx, repository, &root)? {
            return Err(RegistryError::NotInTrash(root.to_string()));
        }
        if is_first {
            self.check_names(repository, &root)?;
        }
        let mut left = REFERENCES;
        let others = content(tx, self.id, SLICE)?;
        for digest in others.iter().filter(|digest| **digest != root) {
            if !tx.has(&schema::TRASH_MANIFEST, (repository, digest))? {
                tx.delete(&schema::TRASH_CONTENT, (self.id, digest))?;
            }
            if self.with_children(repository, digest, true, &mut left)?.is_continue() {
                return Ok(ControlFlow::Continue(()));
            }
        }
        if others.iter().any(|digest| *digest != root) && others.len() == SLICE {
            return Ok(ControlFlow::Continue(()));
        }
        if self.with_children(repository, &root, false, &mut left)?.is_continue() {
            return Ok(ControlFlow::Continue(()));
        }
        bring_back(tx, repository, &root)?;
        let corrupt = StoreError::Corrupt { table: schema::MANIFEST.name() };
        let manifest = tx.get(&schema::MANIFEST, (repository, &root))?.ok_or(corrupt)?;
        let tags = self.tags(TAGS_AT_ONCE + 1)?;
        for (old, new) in tags.iter().take(TAGS_AT_ONCE) {
            self.set(repository, &root, (old, new), &manifest)?;
        }
        if tags.len() > TAGS_AT_ONCE {
            return Ok(ControlFlow::Continue(()));
        }
        self.finish(&root, tags.into_iter().map(|(_, new)| new).collect())
    }

    /// Brings back what a manifest in the trash needs, the deepest first, and with `itself` the manifest:
    /// what it lists, whatever deletion has that, and referrers that went with it. A continue: there is more.
    fn with_children(
        &self,
        repository: RepoId,
        first: &Digest,
        itself: bool,
        left: &mut usize,
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut seen = HashSet::from([*first]);
        let mut path = vec![(*first, self.below(repository, first)?)];
        while let Some((at, waiting)) = path.last_mut() {
            if let Some(next) = waiting.pop() {
                if seen.insert(next) && self.tx.has(&schema::TRASH_MANIFEST, (repository, &next))? {
                    path.push((next, self.below(repository, &next)?));
                }
                continue;
            }
            let at = *at;
            path.pop();
            if path.is_empty() && !itself {
                break;
            }
            if *left == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            *left = left.saturating_sub(bring_back(self.tx, repository, &at)?);
        }
        Ok(ControlFlow::Break(()))
    }

    /// What a manifest in the trash lists, and what refers to it and is in the same deletion.
    fn below(&self, repository: RepoId, digest: &Digest) -> Result<Vec<Digest>, StoreError> {
        let Some(trashed) = self.tx.get(&schema::TRASH_MANIFEST, (repository, digest))? else {
            return Ok(Vec::new());
        };
        let mut referrers = Vec::new();
        self.tx.scan_prefix(&schema::TRASH_REFERRER.keys(), (repository, digest), |referrer, _| {
            referrers.push(referrer);
            ControlFlow::Continue(())
        })?;
        let mut found: Vec<Digest> = trashed.manifest.children.iter().filter_map(AnyDigest::known).collect();
        for referrer in referrers {
            if self.tx.has(&schema::TRASH_CONTENT, (trashed.entry, &referrer))? {
                found.push(referrer);
            }
        }
        Ok(found)
    }

    /// Up to `limit` tags to set, each with the name that it gets.
    fn tags(&self, limit: usize) -> Result<Vec<(Tag, Tag)>, StoreError> {
        let mut tags: Vec<(Tag, Tag)> = Vec::new();
        self.tx.scan_prefix(&schema::TRASH_TAG.keys(), self.id, |tag, _| {
            if let Ok(tag) = tag.parse::<Tag>() {
                tags.push((tag.clone(), self.tag.clone().unwrap_or(tag)));
            }
            if tags.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(tags)
    }

    /// Refuses names that have another manifest now, and more tags than a repository may have. A name that a
    /// client sets while a large deletion is being restored is left to the client.
    fn check_names(&self, repository: RepoId, root: &Digest) -> Result<(), RegistryError> {
        let mut more = 0;
        for (_, new) in self.tags(usize::MAX)? {
            match self.tx.get(&schema::TAG, (repository, new.as_str()))? {
                Some(row) if row.digest != *root || self.tag.is_some() => {
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
        root: &Digest,
        (old, new): (&Tag, &Tag),
        manifest: &Manifest,
    ) -> Result<(), StoreError> {
        let Some(row) = self.tx.get(&schema::TRASH_TAG, (self.id, old.as_str()))? else { return Ok(()) };
        self.tx.delete(&schema::TRASH_TAG, (self.id, old.as_str()))?;
        if self.tx.has(&schema::TAG, (repository, new.as_str()))? {
            return Ok(());
        }
        // The manifest may have been pushed again since.
        let (content_bytes, platform) = (manifest.content_bytes, manifest.platform.clone());
        let row = schema::Tag { digest: *root, content_bytes, platform, ..row };
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

/// Brings one manifest back to its repository, if it is in the trash. Returns how many rows that were, about.
pub(in crate::registry) fn bring_back(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
) -> Result<usize, StoreError> {
    let Some(trashed) = tx.get(&schema::TRASH_MANIFEST, (repository, digest))? else { return Ok(0) };
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
    tx.put(&schema::DIRTY_REPOSITORY, repository, &tx.next_sequence())?;
    Ok(1 + row.blobs.len() + row.children.len())
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
