//! What holds what in a repository: the rules of garbage collection, as far as the records have to know them.
//!
//! Where the records do not know whether something is held, they say that it may go, so the oracle accepts
//! either.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::ledger::{Key, Ledger};

/// The digests in a manifest.
#[derive(Clone, Debug)]
pub(crate) struct References {
    pub(crate) blobs: Vec<String>,
    pub(crate) children: Vec<String>,
}

impl References {
    /// Those of the manifest with these bytes.
    pub(crate) fn of(content: &[u8]) -> Self {
        let manifest: Value = serde_json::from_slice(content).unwrap_or_default();
        let digests = |list: &Value| -> Vec<String> {
            let listed = list.as_array().into_iter().flatten();
            listed.filter_map(|entry| entry["digest"].as_str().map(str::to_owned)).collect()
        };
        let config = manifest["config"]["digest"].as_str().map(str::to_owned);
        let blobs = config.into_iter().chain(digests(&manifest["layers"])).collect();
        Self { blobs, children: digests(&manifest["manifests"]) }
    }
}

impl Ledger {
    /// Manifests of a repository that are certainly held, also without one of them: those with a tag, those
    /// that were pushed after the promises were over last, and what is below these.
    pub(crate) fn held(&self, repository: &str, without: Option<&str>) -> BTreeSet<String> {
        let (mut held, mut waiting) = (BTreeSet::new(), Vec::new());
        for (key, register) in self.of(repository) {
            let is_root = match key {
                Key::Tag(_) => true,
                Key::Manifest(_) => register.renewed > self.aged,
                Key::Blob(_) | Key::Token(_) | Key::Piece(_) => false,
            };
            waiting.extend(register.certain().flatten().filter(|_| is_root));
        }
        let present: BTreeSet<String> = self.seen_in(repository).into_iter().collect();
        let referrers = self.referrers_in(repository);
        while let Some(next) = waiting.pop() {
            if Some(next.as_str()) != without && present.contains(&next) && !held.contains(&next) {
                waiting.extend(self.below(&next, &referrers));
                held.insert(next);
            }
        }
        held
    }

    /// The manifests of a repository that have a subject, by that.
    fn referrers_in(&self, repository: &str) -> BTreeMap<&str, Vec<&str>> {
        let mut referrers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, _) in self.of(repository) {
            if let Key::Manifest(digest) = key
                && let Some(subject) = self.manifests.get(digest).and_then(|found| found.subject.as_deref())
            {
                referrers.entry(subject).or_default().push(digest);
            }
        }
        referrers
    }

    /// What a manifest lists, and what refers to it.
    fn below(&self, digest: &str, referrers: &BTreeMap<&str, Vec<&str>>) -> Vec<String> {
        let manifest = self.manifests.get(digest);
        let listed = manifest.map(|manifest| manifest.references.children.clone()).unwrap_or_default();
        let referring = referrers.get(digest).into_iter().flatten();
        listed.into_iter().chain(referring.map(|digest| (*digest).to_owned())).collect()
    }

    fn named_by<'d>(&self, digests: impl IntoIterator<Item = &'d String>) -> BTreeSet<String> {
        let manifests = digests.into_iter().filter_map(|digest| self.manifests.get(digest));
        manifests.flat_map(|manifest| manifest.references.blobs.iter().cloned()).collect()
    }

    /// What may go when a manifest is deleted: its blobs, and what is below it with its blobs, as far as
    /// nothing else certainly holds them.
    pub(crate) fn falls_with(&self, repository: &str, digest: &str) -> Vec<Key> {
        let held = self.held(repository, Some(digest));
        let referrers = self.referrers_in(repository);
        let (mut fallen, mut waiting) = (BTreeSet::new(), vec![digest.to_owned()]);
        while let Some(next) = waiting.pop() {
            if !held.contains(&next) && !fallen.contains(&next) {
                waiting.extend(self.below(&next, &referrers));
                fallen.insert(next);
            }
        }
        let kept = self.named_by(&held);
        let blobs = self.named_by(&fallen).into_iter().filter(|blob| !kept.contains(blob)).map(Key::Blob);
        let manifests = fallen.iter().filter(|fallen| *fallen != digest).cloned().map(Key::Manifest);
        blobs.chain(manifests).collect()
    }

    /// Records that all promises are over: what nothing holds may go from now on.
    pub(crate) fn age(&mut self) {
        self.aged = self.now();
        let repositories: BTreeSet<String> =
            self.registers.keys().map(|(repository, _)| repository.clone()).collect();
        for repository in repositories {
            let held = self.held(&repository, None);
            let named = self.named_by(&held);
            let is_loose = |key: &&Key| match key {
                Key::Manifest(digest) => !held.contains(digest),
                Key::Blob(digest) => !named.contains(digest),
                Key::Tag(_) | Key::Token(_) | Key::Piece(_) => false,
            };
            let loose = self.of(&repository).map(|(key, _)| key).filter(is_loose).cloned().collect();
            self.loosen(&repository, loose);
        }
    }

    /// The digests of manifests that were in a repository when it was looked at last.
    pub(crate) fn seen_in(&self, repository: &str) -> Vec<String> {
        let manifests = self.of(repository).filter(|(key, _)| matches!(key, Key::Manifest(_)));
        manifests.filter_map(|(_, register)| register.left().flatten()).collect()
    }
}
