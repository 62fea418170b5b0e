//! The images that need a damaged blob or manifest: the tags to push again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::check::Check;
use super::place::Place;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::names::RepoId;
use crate::store::meta::{Pages, ReadTx, Reader, StoreError, Tx as _, schema};
use crate::wire::Severity;

/// The most images that are named for one problem.
const MAX_IMAGES: usize = 20;
/// The deepest nesting of indexes; more is damage.
const DEPTH: usize = 8;

/// Repositories, and manifests in all of them, that are searched for those that need one blob.
const REPOSITORIES: usize = 64;
const MANIFESTS: usize = 100_000;

/// Manifests that are visited to name the images that need one of them.
const VISITS: usize = 10_000;

/// A manifest of a repository.
type Held = (u64, Vec<u8>);

/// Names the images that need each damaged blob or manifest. It reads every manifest once.
pub(super) fn images(check: &mut Check<'_>) -> Result<(), StoreError> {
    let mut wanted: BTreeMap<Vec<u8>, BTreeSet<Held>> = BTreeMap::new();
    for problem in check.report.problems.iter().filter(|problem| problem.severity == Severity::Damage) {
        if let Some(Ok(digest)) = problem.digest.as_deref().map(str::parse::<AnyDigest>) {
            wanted.insert(digest.key().to_vec(), BTreeSet::new());
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    check.expect(&schema::MANIFEST)?;
    check.rows(&schema::MANIFEST, |_, _, (repository, key), row| {
        let parts = row.blobs.iter().map(|blob| blob.key().to_vec()).chain([key.to_vec()]);
        for part in parts {
            if let Some(holders) = wanted.get_mut(&part)
                && holders.len() < MAX_IMAGES
            {
                holders.insert((repository, key.to_vec()));
            }
        }
        Ok(())
    })?;
    let names = &check.repositories;
    let name = |repository: u64| names.get(&repository).cloned().flatten().unwrap_or_default();
    add_trashed(check.meta, &mut Pages::all(), &mut 0, &mut wanted)?;
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (part, holders) in wanted {
        let mut images = BTreeSet::new();
        for (repository, key) in holders {
            check.meta.read(|tx| name_images(tx, repository, &key, &name(repository), &mut images))?;
        }
        found.insert(Place::digest_text(&part), images.into_iter().take(MAX_IMAGES).collect());
    }
    for problem in &mut check.report.problems {
        if let Some(images) = problem.digest.as_ref().and_then(|digest| found.get(digest)) {
            problem.images.clone_from(images);
        }
    }
    Ok(())
}

/// Names the images that need one blob or manifest, as [`images`] does for many. It reads only the manifests
/// of repositories that hold it, and not all of them where there are very many.
pub(in crate::registry) fn needing(meta: Reader<'_>, digest: &Digest) -> Result<Vec<String>, StoreError> {
    let key = digest.key();
    let (mut holders, mut repositories) = (BTreeSet::new(), Vec::new());
    meta.read(|tx| {
        tx.scan_prefix(&schema::MANIFEST_REPO.keys(), digest, |RepoId(repository), _| {
            holders.insert((repository, key.to_vec()));
            if holders.len() < MAX_IMAGES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        tx.scan_prefix(&schema::BLOB_LINK.keys(), digest, |repository, _| {
            repositories.push(repository);
            let goes_on = repositories.len() < REPOSITORIES;
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    })?;
    let (blob, mut looked_at) = (AnyDigest::from(*digest), 0);
    for &repository in &repositories {
        let mut pages = Pages::of_prefix(&schema::MANIFEST, repository);
        while holders.len() < MAX_IMAGES
            && looked_at < MANIFESTS
            && meta.page(&schema::MANIFEST, &mut pages, |_, (repository, manifest), row| {
                looked_at += 1;
                if row.is_some_and(|row| row.blobs.contains(&blob)) && holders.len() < MAX_IMAGES {
                    holders.insert((repository, manifest.to_vec()));
                }
                Ok::<_, StoreError>(())
            })?
        {}
    }
    if holders.len() < MAX_IMAGES {
        let (mut wanted, mut looked_at) = (BTreeMap::from([(key.to_vec(), holders)]), 0);
        for repository in repositories {
            // What is in the trash keeps the link of its repository.
            let mut pages = Pages::of_prefix(&schema::TRASH_MANIFEST, repository);
            add_trashed(meta, &mut pages, &mut looked_at, &mut wanted)?;
        }
        holders = wanted.into_values().next().unwrap_or_default();
    }
    let mut images = BTreeSet::new();
    for (repository, manifest) in holders {
        meta.read(|tx| {
            let row = tx.get(&schema::REPOSITORY, RepoId(repository))?;
            let name = row.map_or_else(|| format!("number {repository}"), |row| row.name);
            name_images(tx, repository, &manifest, &name, &mut images)
        })?;
    }
    Ok(images.into_iter().take(MAX_IMAGES).collect())
}

/// Adds manifests in the trash that need one of these, as long as no more than [`MANIFESTS`] were looked at.
fn add_trashed(
    meta: Reader<'_>,
    pages: &mut Pages,
    looked_at: &mut usize,
    wanted: &mut BTreeMap<Vec<u8>, BTreeSet<Held>>,
) -> Result<(), StoreError> {
    while *looked_at < MANIFESTS
        && meta.page(&schema::TRASH_MANIFEST, pages, |_, (repository, key), row| {
            *looked_at += 1;
            for blob in row.iter().flat_map(|row| &row.manifest.blobs) {
                if let Some(holders) = wanted.get_mut(&blob.key().to_vec())
                    && holders.len() < MAX_IMAGES
                {
                    holders.insert((repository, key.to_vec()));
                }
            }
            Ok::<_, StoreError>(())
        })?
    {}
    Ok(())
}

/// Adds the names of the images that need a manifest. What is in the trash is said to be: its name may be
/// that of another image by now.
fn name_images(
    tx: &ReadTx,
    repository: u64,
    key: &[u8],
    name: &str,
    images: &mut BTreeSet<String>,
) -> Result<(), StoreError> {
    let is_trashed = tx.has(&schema::TRASH_REPOSITORY, RepoId(repository))?
        || tx.has(&schema::TRASH_MANIFEST.raw_keys(), (repository, key))?;
    let end = if is_trashed { " (in the trash)" } else { "" };
    let mut visit = |reference: String| {
        images.insert(format!("{name}{reference}{end}"));
        images.len() < MAX_IMAGES
    };
    climb(tx, repository, key, (DEPTH, &mut BTreeSet::new()), &mut visit).map(drop)
}

/// Calls `visit` with `:TAG` for each tag of a manifest and of the indexes that list it, or with the digest
/// if there is none, until `visit` has enough. `seen`: the manifests that were visited; indexes may list the
/// same one on many ways.
fn climb(
    tx: &ReadTx,
    repository: u64,
    key: &[u8],
    (depth, seen): (usize, &mut BTreeSet<Vec<u8>>),
    visit: &mut dyn FnMut(String) -> bool,
) -> Result<bool, StoreError> {
    if seen.len() == VISITS || !seen.insert(key.to_vec()) {
        return Ok(false);
    }
    let (mut named, mut enough) = (false, false);
    tx.scan_prefix(&schema::TAG_BY_DIGEST.raw_keys(), (repository, key), |tag, ()| {
        named = true;
        enough = !visit(format!(":{tag}"));
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let mut parents = Vec::new();
    tx.scan_prefix(&schema::PARENT.raw_keys(), (repository, key), |parent, _| {
        if parents.len() == MAX_IMAGES {
            return ControlFlow::Break(());
        }
        parents.push(parent.to_vec());
        ControlFlow::Continue(())
    })?;
    for parent in parents {
        if enough || depth == 0 {
            break;
        }
        named = true;
        enough = climb(tx, repository, &parent, (depth - 1, &mut *seen), visit)?;
    }
    if !named {
        enough = !visit(format!("@{}", Place::digest_text(key)));
    }
    Ok(enough)
}
