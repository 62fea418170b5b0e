//! Pushing manifests.

use std::ops::Bound;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::{Grant, Push};
use crate::model::digest::{Algorithm, AnyDigest, Digest};
use crate::model::event::EventKind;
use crate::model::manifest::Manifest;
use crate::model::names::RepoId;
use crate::model::names::{Reference, Tag};
use crate::registry::Registry;
use crate::registry::blobs;
use crate::registry::error::{MissingReference, RegistryError};
use crate::registry::events;
use crate::registry::links;
use crate::registry::referrers;
use crate::registry::repositories;
use crate::registry::tags;
use crate::registry::usage;
use crate::store::meta::Raw;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::rows;
use crate::store::meta::tables;

/// How deep indexes may nest.
const MAX_NESTING: u8 = 8;
/// Repositories that are looked at to say where a missing blob is.
const ELSEWHERE: usize = 16;

/// What a client wants of the tag that it sets (RFC 9110 section 13.1).
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// `If-Match`: the tag points to one of these; `*` is any.
    pub matches: Option<Vec<String>>,
    /// `If-None-Match`: the tag points to none of these; `*` is any.
    pub none_match: Option<Vec<String>>,
}

impl Condition {
    fn holds(&self, actual: Option<Digest>) -> bool {
        let actual = actual.map(|digest| digest.to_string());
        let among = |wanted: &[String]| {
            actual
                .as_ref()
                .is_some_and(|actual| wanted.iter().any(|digest| digest == "*" || digest == actual))
        };
        self.matches.as_deref().is_none_or(&among) && !self.none_match.as_deref().is_some_and(&among)
    }
}

/// A manifest to store.
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// The tag to set, or the digest it must have.
    pub reference: Reference,
    /// More tags to set, for a push by digest (distribution-spec, end-7b).
    pub tags: Vec<Tag>,
    /// The value of `Content-Type`.
    pub content_type: Option<String>,
    /// The bytes.
    pub body: Bytes,
    /// What must hold of the tag.
    pub condition: Condition,
}

/// A manifest that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The digest it can be pulled by.
    pub digest: Digest,
    /// Its subject, if it has one.
    pub subject: Option<AnyDigest>,
}

impl Registry {
    /// Stores a manifest and sets its tags, all at once or not at all.
    pub async fn put_manifest(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        put: PutManifest,
    ) -> Result<Stored, RegistryError> {
        self.check_space()?;
        let (registry, grant) = (Arc::clone(self), grant.carry());
        self.detached(async move {
            let parse = move || prepare(put).map(Arc::new);
            let prepared = registry.blocking(parse).await??;
            let stored = Stored {
                digest: prepared.digest,
                subject: prepared.manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            };
            let bytes = prepared.put.body.len();
            let strict = registry.limits.load().require_references;
            registry
                .meta
                .write_after(Vec::new(), bytes, move |tx| store(tx, &grant, &prepared, strict))
                .await?;
            Ok(stored)
        })
        .await
    }
}

struct Prepared {
    put: PutManifest,
    manifest: Manifest,
    digest: Digest,
    tags: Vec<Tag>,
}

fn prepare(put: PutManifest) -> Result<Prepared, RegistryError> {
    let algorithm = match &put.reference {
        Reference::Digest(expected) => expected.algorithm(),
        Reference::Tag(_) => Algorithm::Sha256,
    };
    let digest = Digest::of(algorithm, &put.body);
    let mut tags = put.tags.clone();
    match &put.reference {
        Reference::Tag(tag) => tags.push(tag.clone()),
        Reference::Digest(expected) if *expected != digest => {
            return Err(RegistryError::DigestMismatch { expected: *expected, actual: digest });
        }
        Reference::Digest(_) => {}
    }
    tags.sort();
    tags.dedup();
    let manifest = Manifest::parse(put.content_type.as_deref(), &put.body)?;
    Ok(Prepared { put, manifest, digest, tags })
}

fn store(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    prepared: &Prepared,
    strict: bool,
) -> Result<(), RegistryError> {
    grant.recheck(tx)??;
    let known = tx.get(&tables::REPOSITORY_NAME, grant.name().as_str())?.map(RepoId);
    for tag in &prepared.tags {
        let actual = match known {
            Some(repository) => super::get::tagged(tx, repository, tag)?,
            None => None,
        };
        if !prepared.put.condition.holds(actual) {
            return Err(RegistryError::PreconditionFailed { tag: tag.clone(), actual });
        }
    }
    let depth = check_references(tx, grant, known, &prepared.manifest, strict)?;
    let repository = repositories::ensure(tx, grant)?;
    write(tx, repository, prepared, depth)?;
    for tag in &prepared.tags {
        tags::set(tx, repository, tag, prepared.digest, grant.caller())?;
    }
    let kind = EventKind::ManifestPushed {
        repository: grant.name().clone(),
        digest: prepared.digest,
        media_type: prepared.manifest.media_type.clone(),
        size: prepared.put.body.len() as u64,
        tags: prepared.tags.clone(),
    };
    Ok(events::record(tx, grant.caller(), kind)?)
}

/// Checks what the manifest refers to and returns how deep it nests. Nothing is written before this has passed.
fn check_references(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    repository: Option<RepoId>,
    manifest: &Manifest,
    strict: bool,
) -> Result<u8, RegistryError> {
    let mut missing = Vec::new();
    for blob in manifest.blobs() {
        let held = match (repository, blob.digest.known()) {
            (Some(repository), Some(digest)) => links::visible(tx, repository, &digest)?,
            _ => None,
        };
        match held {
            Some((_, row)) if row.size != blob.size => {
                return Err(RegistryError::ReferenceSize {
                    digest: blob.digest,
                    said: blob.size,
                    actual: row.size,
                });
            }
            None if strict && blob.required => {
                missing.push(missing_blob(tx, grant, blob.digest)?);
            }
            Some(_) | None => {}
        }
    }
    let mut depth = 0;
    for child in manifest.children() {
        let key = child.digest.key();
        let row = match repository {
            Some(repository) => {
                tx.get(&tables::MANIFEST, (repository.0, &key[..]))?.filter(|row| !row.corrupt)
            }
            None => None,
        };
        match row {
            Some(row) => depth = depth.max(row.depth + 1),
            None if strict => {
                missing.push(MissingReference {
                    digest: child.digest.clone(),
                    manifest: true,
                    elsewhere: None,
                });
            }
            None => depth = depth.max(1),
        }
    }
    if !missing.is_empty() {
        return Err(RegistryError::ReferencesMissing(missing));
    }
    if depth > MAX_NESTING {
        return Err(RegistryError::TooDeep(depth));
    }
    Ok(depth)
}

fn missing_blob(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    digest: AnyDigest,
) -> Result<MissingReference, RegistryError> {
    let mut elsewhere = None;
    if let Some(known) = digest.known() {
        let sight = grant.sight(tx.latest_ms(), tx)?;
        for name in blobs::holders(tx, &known, ELSEWHERE)? {
            if name != grant.name().as_str() && sight.sees(&name) {
                elsewhere = Some(name);
                break;
            }
        }
    }
    Ok(MissingReference { digest, manifest: false, elsewhere })
}

/// Takes the marks of damage away in all repositories that hold a manifest: they share its bytes, which are whole again.
fn clear_marks(tx: &WriteTx<'_>, digest: &Digest) -> Result<(), StoreError> {
    let key = digest.key();
    let mut holders = Vec::new();
    let all = (Bound::Included((&key[..], 0)), Bound::Included((&key[..], u64::MAX)));
    tx.scan(&tables::MANIFEST_REPO, all.0, all.1, |(_, repository), ()| {
        holders.push(repository);
        ControlFlow::Continue(())
    })?;
    for repository in holders {
        if let Some(row) = tx.get(&tables::MANIFEST, (repository, &key[..]))?.filter(|row| row.corrupt) {
            tx.put(&tables::MANIFEST, (repository, &key[..]), &rows::Manifest { corrupt: false, ..row })?;
        }
    }
    Ok(())
}

/// Writes the manifest's rows. A manifest that is there already keeps its counts; its body is written again where the
/// stored bytes differ, which heals damage.
fn write(tx: &WriteTx<'_>, repository: RepoId, prepared: &Prepared, depth: u8) -> Result<(), StoreError> {
    let Prepared { put, manifest, digest, .. } = prepared;
    let key = digest.key();
    let old = tx.get(&tables::MANIFEST, (repository.0, &key[..]))?;
    let blobs: Vec<AnyDigest> = manifest.blobs().into_iter().map(|blob| blob.digest).collect();
    let children: Vec<AnyDigest> =
        manifest.children().into_iter().map(|child| child.digest.clone()).collect();
    if old.is_none() {
        for blob in &blobs {
            links::reference(tx, repository, blob)?;
        }
        for child in &children {
            tx.put(&tables::PARENT, (repository.0, &child.key()[..], &key[..]), &())?;
        }
        tx.put(&tables::MANIFEST_REPO, (&key[..], repository.0), &())?;
        let size = put.body.len() as u64;
        usage::change(tx, repository, |usage| {
            usage.manifests += 1;
            usage.manifest_bytes += size;
        })?;
        let name = tx
            .get(&tables::REPOSITORY, repository.0)?
            .ok_or(StoreError::Corrupt { table: tables::REPOSITORY.name() })?
            .name;
        tx.put(&tables::CATALOG, name.as_str(), &())?;
    }
    if let Some(subject) = &manifest.subject {
        let referrer = referrers::row_of(manifest, &put.body);
        tx.put(&tables::REFERRER, (repository.0, &subject.digest.key()[..], &key[..]), &referrer)?;
    }
    let stored = tx.get(&tables::MANIFEST_BODY, &key[..])?;
    if stored.is_none_or(|stored| stored.0 != put.body) {
        tx.put(&tables::MANIFEST_BODY, &key[..], &Raw(put.body.to_vec()))?;
        clear_marks(tx, digest)?;
    }
    let sequence = tx.next_sequence();
    let row = rows::Manifest {
        media_type: manifest.media_type.clone(),
        size: put.body.len() as u64,
        depth,
        blobs,
        children,
        subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
        sequence,
        pushed_ms: tx.now().wall_ms,
        untagged_since: old.map_or(Some(tx.now().running_s), |old| old.untagged_since),
        corrupt: false,
    };
    tx.put(&tables::MANIFEST, (repository.0, &key[..]), &row)?;
    tx.put(&tables::DIRTY_REPOSITORY, repository.0, &sequence)
}
