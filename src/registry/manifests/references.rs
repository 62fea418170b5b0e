//! What a manifest refers to, compared with what is there.

use std::ops::ControlFlow;

use crate::access::{Grant, Push};
use crate::model::descriptor::Descriptor;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::manifest::{BlobReference, Manifest};
use crate::model::names::RepoId;
use crate::registry::error::{MissingReference, RegistryError};
use crate::registry::{blobs, links};
use crate::store::meta::schema::{self, Listed};
use crate::store::meta::{StoreError, Tx as _, WriteTx};

/// How deep indexes may nest.
const MAX_NESTING: u8 = 8;
/// Repositories that are looked at to say where something missing is.
const ELSEWHERE: usize = 16;
/// Things missing whose place elsewhere is looked for.
const SOUGHT: usize = 16;

/// What follows from what a manifest refers to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Referred {
    /// How deep it nests.
    pub(super) depth: u8,
    /// Bytes of all that it refers to.
    pub(super) bytes: u64,
}

/// The references of a manifest that is about to be stored in a repository.
struct Check<'a, 't> {
    tx: &'a WriteTx<'t>,
    grant: &'a Grant<Push>,
    repository: Option<RepoId>,
    /// Whether what is needed must be there.
    strict: bool,
    missing: Vec<MissingReference>,
}

/// Compares every descriptor with what is there. Nothing is written before this has passed.
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
            // What another manifest says of it was there first.
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

    /// The row of a manifest of the repository, which is as the descriptor says.
    fn manifest(&self, said: &Descriptor) -> Result<Option<schema::Manifest>, RegistryError> {
        let Some(repository) = self.repository else { return Ok(None) };
        let Some(digest) = said.digest.known() else { return Ok(None) };
        let row = self.tx.get(&schema::MANIFEST, (repository, &digest))?;
        let Some(row) = row.filter(|row| !row.corrupt) else { return Ok(None) };
        agree(&said.digest, (&said.media_type, said.size), (&row.media_type, row.size))?;
        Ok(Some(row))
    }

    /// Compares what is said of an absent manifest with what another index says of it.
    fn other_index(&self, said: &Descriptor) -> Result<(), RegistryError> {
        let Some(repository) = self.repository else { return Ok(()) };
        match listed(self.tx, repository, &said.digest)? {
            Some((_, other)) => {
                agree(&said.digest, (&said.media_type, said.size), (&other.media_type, other.size))
            }
            None => Ok(()),
        }
    }

    /// Notes something missing, and where it is.
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

/// Refuses a descriptor that says something else of a manifest than what is known of it.
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

/// Refuses a manifest that is not what an index of the repository, which came first, says of it.
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

/// An index of the repository that lists a manifest, and what it says of it. All that list it say the same.
fn listed(
    tx: &WriteTx<'_>,
    repository: RepoId,
    child: &AnyDigest,
) -> Result<Option<(Digest, Listed)>, StoreError> {
    let mut found = None;
    tx.scan_prefix(&schema::PARENT, (repository, child), |parent, row| {
        found = Some((parent, row));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Names of some repositories that hold a manifest.
fn holders(tx: &WriteTx<'_>, digest: &Digest) -> Result<Vec<String>, StoreError> {
    let mut ids = Vec::new();
    tx.scan_prefix(&schema::MANIFEST_REPO, digest, |repository, ()| {
        ids.push(repository);
        if ids.len() < ELSEWHERE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut names = Vec::with_capacity(ids.len());
    for id in ids {
        names.extend(tx.get(&schema::REPOSITORY, id)?.map(|row| row.name));
    }
    Ok(names)
}
