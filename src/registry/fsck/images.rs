//! The images that need a damaged blob or manifest: the tags to push again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::check::Check;
use super::place::Place;
use crate::model::digest::AnyDigest;
use crate::store::meta::{ReadTx, StoreError, Tx as _, schema};
use crate::wire::Severity;

/// The most images that are named for one problem.
const MAX_IMAGES: usize = 20;
/// The deepest nesting of indexes; more is damage.
const DEPTH: usize = 8;

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
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (part, holders) in wanted {
        let mut images = BTreeSet::new();
        for (repository, key) in holders {
            check.meta.read(|tx| {
                climb(tx, repository, &key, DEPTH, &mut |reference| {
                    images.insert(format!("{}{reference}", name(repository)));
                    images.len() < MAX_IMAGES
                })
            })?;
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

/// Calls `visit` with `:TAG` for each tag of a manifest and of the indexes that list it, or with the digest
/// if there is none, until `visit` has enough.
fn climb(
    tx: &ReadTx,
    repository: u64,
    key: &[u8],
    depth: usize,
    visit: &mut dyn FnMut(String) -> bool,
) -> Result<bool, StoreError> {
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
        enough = climb(tx, repository, &parent, depth - 1, visit)?;
    }
    if !named {
        enough = !visit(format!("@{}", Place::digest_text(key)));
    }
    Ok(enough)
}
