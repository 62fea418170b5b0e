//! The references of a manifest, compared with the content that exists.

use std::ops::ControlFlow;

use crate::access::{Grant, Push};
use crate::model::descriptor::Descriptor;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::manifest::{BlobReference, Manifest};
use crate::model::names::RepoId;
use crate::registry::error::{MissingReference, RegistryError};
use crate::registry::{blobs, links, repositories};
use crate::store::meta::schema::{self, Listed};
use crate::store::meta::{StoreError, Tx, WriteTx};

/// The deepest nesting of indexes.
const MAX_NESTING: u8 = 8;
/// The most repositories that are searched for missing content.
const ELSEWHERE: usize = 16;
/// The most missing references for which other repositories are searched.
const SOUGHT: usize = 16;

/// Values that follow from the references of a manifest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Referred {
    /// How deep it nests.
    pub(super) depth: u8,
    /// Bytes of everything that it refers to.
    pub(super) bytes: u64,
}

/// The references of a manifest that is about to be stored in a repository.
struct Check<'a, 't> {
    tx: &'a WriteTx<'t>,
    grant: &'a Grant<Push>,
    repository: Option<RepoId>,
    /// Whether the referenced content must exist.
    strict: bool,
    missing: Vec<MissingReference>,
}

/// Compares every descriptor with the existing content. Nothing may be written before this has passed.
pub(super) fn check(
    tx: &WriteTx<'_>,
    grant: &Grant<Push>,
    repository: Option<RepoId>,
    manifest: &Manifest,
    strict: bool,
) -> Result<Referred, RegistryError> {
    let mut check = Check { tx, grant, repository, strict, missing: Vec::new() };
    let mut referred = Referred::default();
    for blob in manifest.blobs() {
        check.blob(&blob)?;
        referred.bytes = referred.bytes.saturating_add(blob.size);
    }
    for child in manifest.children() {
        let (depth, bytes) = match check.manifest(child)? {
            Some(row) => (row.depth + 1, row.content_bytes),
            None if strict => {
                check.miss(child.digest.clone(), true)?;
                continue;
            }
            None => {
                check.other_index(child)?;
                (1, child.size)
            }
        };
        referred.depth = referred.depth.max(depth);
        referred.bytes = referred.bytes.saturating_add(bytes);
    }
    if let Some(subject) = &manifest.subject {
        check.manifest(subject)?;
    }
    if !check.missing.is_empty() {
        return Err(RegistryError::ReferencesMissing(check.missing));
    }
    if referred.depth > MAX_NESTING {
        return Err(RegistryError::TooDeep(referred.depth));
    }
    Ok(referred)
}

impl Check<'_, '_> {
    fn blob(&mut self, blob: &BlobReference) -> Result<(), RegistryError> {
        let held = match (self.repository, blob.digest.known()) {
            (Some(repository), Some(digest)) => links::visible(self.tx, repository, &digest)?,
            _ => None,
        };
        let known = match (&held, self.repository) {
            (Some((_, row)), _) => Some(row.size),
            // Another manifest gave this absent blob a size before.
            (None, Some(repository)) => links::said(self.tx, repository, &blob.digest)?,
            (None, None) => None,
        };
        if let Some(actual) = known.filter(|actual| *actual != blob.size) {
            return Err(RegistryError::ReferenceSize {
                digest: blob.digest.clone(),
                said: blob.size,
                actual,
            });
        }
        if held.is_none() && self.strict && blob.required {
            self.miss(blob.digest.clone(), false)?;
        }
        Ok(())
    }

    /// The row of a manifest of the repository, which must match the descriptor.
    fn manifest(&self, said: &Descriptor) -> Result<Option<schema::Manifest>, RegistryError> {
        let Some(repository) = self.repository else { return Ok(None) };
        let Some(digest) = said.digest.known() else { return Ok(None) };
        let row = self.tx.get(&schema::MANIFEST, (repository, &digest))?;
        let Some(row) = row.filter(|row| !row.corrupt) else { return Ok(None) };
        agree(&said.digest, (&said.media_type, said.size), (&row.media_type, row.size))?;
        Ok(Some(row))
    }

    /// Compares the description of an absent manifest with that in another index.
    fn other_index(&self, said: &Descriptor) -> Result<(), RegistryError> {
        let Some(repository) = self.repository else { return Ok(()) };
        match listed(self.tx, repository, &said.digest)? {
            Some((_, other)) => {
                agree(&said.digest, (&said.media_type, said.size), (&other.media_type, other.size))
            }
            None => Ok(()),
        }
    }

    /// Records a missing reference, and a repository that has it.
    fn miss(&mut self, digest: AnyDigest, manifest: bool) -> Result<(), RegistryError> {
        let mut elsewhere = None;
        if let Some(known) = digest.known().filter(|_| self.missing.len() < SOUGHT) {
            let names = if manifest {
                holders(self.tx, &known)?
            } else {
                blobs::holders(self.tx, &known, ELSEWHERE)?
            };
            let rights = self.grant.rights(self.tx.latest_ms(), self.tx)?;
            let own = self.grant.name().as_str();
            elsewhere = names.into_iter().find(|name| name != own && rights.sees(name));
        }
        self.missing.push(MissingReference { digest, manifest, elsewhere });
        Ok(())
    }
}

/// Refuses a descriptor that contradicts what is known of a manifest.
fn agree(digest: &AnyDigest, said: (&str, u64), known: (&str, u64)) -> Result<(), RegistryError> {
    let ((said_type, said), (actual_type, actual)) = (said, known);
    if said != actual {
        return Err(RegistryError::ReferenceSize { digest: digest.clone(), said, actual });
    }
    if said_type != actual_type {
        return Err(RegistryError::ReferenceType {
            digest: digest.clone(),
            said: said_type.to_owned(),
            actual: actual_type.to_owned(),
        });
    }
    Ok(())
}

/// Refuses a manifest that does not match the description in an index that was pushed before it.
pub(super) fn fits_indexes(
    tx: &WriteTx<'_>,
    repository: RepoId,
    digest: &Digest,
    media_type: &str,
    size: u64,
) -> Result<(), RegistryError> {
    match listed(tx, repository, &AnyDigest::from(*digest))? {
        Some((index, said)) if said.size != size || said.media_type != media_type => {
            Err(RegistryError::ListedOtherwise { digest: *digest, index, said, size })
        }
        _ => Ok(()),
    }
}

/// An index of the repository that lists a manifest, with its description of it. All indexes that list it
/// agree; one in the trash does not count, because it was deleted to make room for another description.
fn listed(
    tx: &WriteTx<'_>,
    repository: RepoId,
    child: &AnyDigest,
) -> Result<Option<(Digest, Listed)>, StoreError> {
    let mut indexes = Vec::new();
    tx.scan_prefix(&schema::PARENT.keys(), (repository, child), |parent, _| {
        indexes.push(parent);
        ControlFlow::Continue(())
    })?;
    for index in indexes {
        if tx.has(&schema::MANIFEST, (repository, &index))? {
            let row = tx.get(&schema::PARENT, (repository, child, &index))?;
            return Ok(row.map(|row| (index, row)));
        }
    }
    Ok(None)
}

/// What can hold a manifest: its subject, and up to `most` indexes that list it.
pub(in crate::registry) fn above(
    tx: &impl Tx,
    (repository, digest): (RepoId, &Digest),
    row: &schema::Manifest,
    most: usize,
) -> Result<Vec<Digest>, StoreError> {
    let mut holders: Vec<Digest> = row.subject.as_ref().and_then(AnyDigest::known).into_iter().collect();
    tx.scan_prefix(&schema::PARENT.keys(), (repository, digest), |parent, _| {
        holders.push(parent);
        if holders.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(holders)
}

/// Names of some repositories that hold a manifest.
fn holders(tx: &WriteTx<'_>, digest: &Digest) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    tx.scan_prefix(&schema::MANIFEST_REPO, digest, |repository, ()| {
        ids.push(repository);
        if ids.len() < ELSEWHERE * 16 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut names = Vec::new();
    for id in ids {
        if tx.has(&schema::MANIFEST, (id, digest))? {
            names.extend(repositories::name(tx, id)?);
        }
        if names.len() == ELSEWHERE {
            break;
        }
    }
    Ok(names)
}
