//! Pushing manifests.

use std::sync::Arc;

use bytes::Bytes;

use super::references::{self, Referred};
use super::{marks, platform};
use crate::access::{Grant, Push};
use crate::limits::Charge;
use crate::model::digest::{Algorithm, AnyDigest, Digest};
use crate::model::event::EventKind;
use crate::model::manifest::Manifest;
use crate::model::media_type::ManifestKind;
use crate::model::names::{Reference, RepoId, Tag};
use crate::registry::disk::DiskChange;
use crate::registry::error::RegistryError;
use crate::registry::{Limits, Registry, links, referrers, repositories, tags, trash, usage};
use crate::store::meta::schema::{self, Listed};
use crate::store::meta::{Change, Raw, StoreError, Tx as _, WriteTx};

/// A client's precondition on the tag that it sets (RFC 9110 section 13.1).
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// `If-Match`: the tag must point to one of these; `*` is any.
    pub matches: Option<Vec<String>>,
    /// `If-None-Match`: the tag must point to none of these; `*` is any.
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
    /// The precondition on the tag.
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
    /// Stores a manifest and sets its tags, all or nothing. `charges` are the charges for its body: when the
    /// client disconnects, the work continues and keeps them.
    pub async fn put_manifest(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        put: PutManifest,
        charges: Vec<Charge>,
    ) -> Result<Stored, RegistryError> {
        self.check_space(0)?;
        let (registry, grant) = (Arc::clone(self), grant.carry());
        self.detached(async move {
            let _charges = charges;
            let (reader, repository) = (Arc::clone(&registry), grant.repository());
            let parse = move || {
                let mut prepared = prepare(put)?;
                prepared.platform = reader.platform(repository, &prepared)?;
                Ok::<_, RegistryError>(Arc::new(prepared))
            };
            let prepared = registry.blocking(parse).await??;
            let stored = Stored {
                digest: prepared.digest,
                subject: prepared.manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            };
            let bytes = prepared.put.body.len();
            let limits = **registry.limits.load();
            registry
                .meta
                .change(Change::of_bytes(bytes), move |tx| store(tx, &grant, &prepared, &limits))
                .await?;
            Ok(stored)
        })
        .await
    }
}

impl Registry {
    /// The platform of a manifest that is new in its repository. It may block.
    fn platform(&self, repository: Option<RepoId>, prepared: &Prepared) -> Result<String, RegistryError> {
        let Prepared { manifest, digest, put, .. } = prepared;
        if manifest.kind == ManifestKind::Index {
            return Ok(platform::of_index(&put.body));
        }
        let config = manifest.config.as_ref().filter(|_| platform::is_in_config(manifest));
        let (Some(config), Some(repository)) = (config.and_then(|config| config.digest.known()), repository)
        else {
            return Ok(String::new());
        };
        let is_there = self.meta.read_blocking(|tx| {
            // A manifest that exists already keeps its platform.
            let is_new = !tx.has(&schema::MANIFEST, (repository, digest))?;
            Ok::<_, StoreError>(is_new && links::visible(tx, repository, &config)?.is_some())
        })?;
        let file = if is_there { self.blobs.open(&config).ok().flatten() } else { None };
        let read = file.filter(|file| file.size() <= platform::MAX_CONFIG).map(|file| {
            let len = usize::try_from(file.size()).unwrap_or_default();
            file.read(0, len)
        });
        // A config that cannot be read is reported when it is pulled.
        Ok(read.and_then(Result::ok).map(|bytes| platform::of_config(&bytes)).unwrap_or_default())
    }
}

struct Prepared {
    put: PutManifest,
    manifest: Manifest,
    digest: Digest,
    tags: Vec<Tag>,
    platform: String,
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
    Ok(Prepared { put, manifest, digest, tags, platform: String::new() })
}

fn store(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    prepared: &Prepared,
    limits: &Limits,
) -> Result<(), RegistryError> {
    grant.recheck(tx)??;
    let known = tx.get(&schema::REPOSITORY_NAME, grant.name().as_str())?;
    let mut new_tags = 0;
    for tag in &prepared.tags {
        let actual = match known {
            Some(repository) => super::get::tagged(tx, repository, tag)?,
            None => None,
        };
        if !prepared.put.condition.holds(actual) {
            return Err(RegistryError::PreconditionFailed { tag: tag.clone(), actual });
        }
        new_tags += u64::from(actual.is_none());
    }
    if let Some(repository) = known {
        tags::check_limit(tx, repository, new_tags, limits.tags_per_repository)?;
        let (media_type, size) = (&prepared.manifest.media_type, prepared.put.body.len() as u64);
        references::fits_indexes(tx, repository, &prepared.digest, media_type, size)?;
    }
    let referred = references::check(tx, grant, known, &prepared.manifest, limits.require_references)?;
    let repository = repositories::ensure(tx, grant)?;
    let row = write(tx, repository, prepared, referred)?;
    for tag in &prepared.tags {
        tags::set(tx, repository, tag, (prepared.digest, &row), grant.caller())?;
    }
    let kind = EventKind::ManifestPushed {
        repository: grant.name().clone(),
        digest: prepared.digest,
        media_type: prepared.manifest.media_type.clone(),
        size: prepared.put.body.len() as u64,
        tags: prepared.tags.clone(),
    };
    Ok(tx.record(grant.caller().actor(), kind)?)
}

/// Counts a manifest that is new in its repository. The caller writes its row.
pub(in crate::registry) fn enter(
    tx: &WriteTx<'_>,
    (repository, digest): (RepoId, &Digest),
    size: u64,
) -> Result<(), StoreError> {
    tx.put(&schema::MANIFEST_REPO, (digest, repository), &())?;
    usage::change(tx, repository, |usage| {
        usage.manifests += 1;
        usage.manifest_bytes += size;
    })?;
    let name = tx
        .get(&schema::REPOSITORY, repository)?
        .ok_or(StoreError::Corrupt { table: schema::REPOSITORY.name() })?
        .name;
    tx.put(&schema::CATALOG, name.as_str(), &())
}

/// Writes the manifest's rows. A manifest that exists already keeps its counts; its body is written again
/// where the stored bytes differ, which repairs damage.
fn write(
    tx: &WriteTx<'_>,
    repository: RepoId,
    prepared: &Prepared,
    referred: Referred,
) -> Result<schema::Manifest, StoreError> {
    let Prepared { put, manifest, digest, .. } = prepared;
    let old = tx.get(&schema::MANIFEST, (repository, digest))?;
    let (blobs, children) = (manifest.blobs(), manifest.children());
    if old.is_none() {
        let mut disk = DiskChange::default();
        for blob in &blobs {
            links::reference(tx, repository, (&blob.digest, blob.size), &mut disk)?;
        }
        disk.write(tx)?;
        for child in &children {
            let listed = Listed { media_type: child.media_type.clone(), size: child.size };
            tx.put(&schema::PARENT, (repository, &child.digest, digest), &listed)?;
        }
        enter(tx, (repository, digest), put.body.len() as u64)?;
        trash::take_out(tx, repository, digest)?;
    }
    if let Some(subject) = &manifest.subject {
        let row = referrers::row_of(manifest, &put.body);
        tx.put(&schema::REFERRER, (repository, &subject.digest, digest), &row)?;
    }
    let stored = tx.get(&schema::MANIFEST_BODY, digest)?;
    let is_stored = stored.is_some_and(|stored| stored.0 == put.body);
    if !is_stored {
        tx.put(&schema::MANIFEST_BODY, digest, &Raw(put.body.to_vec()))?;
    }
    if !is_stored || old.as_ref().is_some_and(|old| old.corrupt) {
        // All repositories that hold it share its bytes, which are intact again.
        marks::put(tx, digest, false)?;
    }
    let sequence = tx.next_sequence();
    let size = put.body.len() as u64;
    // Rows of tags repeat these values, so they stay as they were first stored.
    let (content_bytes, platform) = match &old {
        Some(old) => (old.content_bytes, old.platform.clone()),
        None => (size.saturating_add(referred.bytes), prepared.platform.clone()),
    };
    let row = schema::Manifest {
        media_type: manifest.media_type.clone(),
        size,
        depth: referred.depth,
        blobs: blobs.into_iter().map(|blob| blob.digest).collect(),
        children: children.into_iter().map(|child| child.digest.clone()).collect(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
        sequence,
        pushed_ms: tx.now().wall_ms,
        // A push renews the age of a manifest without a tag.
        untagged_since: match &old {
            Some(old) if old.untagged_since.is_none() => None,
            _ => Some(tx.now().running_second()),
        },
        corrupt: false,
        content_bytes,
        platform,
    };
    tx.put(&schema::MANIFEST, (repository, digest), &row)?;
    tx.put(&schema::DIRTY_REPOSITORY, repository, &sequence)?;
    Ok(row)
}
