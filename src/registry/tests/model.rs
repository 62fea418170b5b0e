//! The expected state of a registry after a history, kept in plain maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Server;
use super::ages::{Aside, Held, Moment};
use super::samples::{Blob, Manifest};
use crate::access::{Caller, Principal};
use crate::model::digest::{Algorithm, AnyDigest, Digest};
use crate::model::names::{Reference, UploadId};
use crate::registry::{Listing, ReferrerQuery, RegistryError};
use crate::store::meta::Tx as _;
use crate::store::meta::schema::{self, Usage};

/// The entries of a short list.
fn entries<Left>(page: &Listing<Left>) -> Vec<serde_json::Value> {
    assert!(page.left.is_none() && page.next.is_none());
    serde_json::from_slice(&[b"[", &page.first[..], b"]"].concat()).unwrap()
}

fn names<Left>(page: &Listing<Left>) -> Vec<String> {
    entries(page).iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// A repository.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) blobs: BTreeMap<Digest, Held>,
    /// Digest -> which sample.
    pub(super) manifests: BTreeMap<Digest, usize>,
    pub(super) tags: BTreeMap<String, Digest>,
}

/// An open upload.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: UploadId,
    pub(super) repository: usize,
    pub(super) blob: usize,
    pub(super) received: usize,
}

/// The registry.
pub(super) struct Model {
    pub(super) names: [&'static str; 3],
    pub(super) blobs: Vec<Blob>,
    pub(super) manifests: Vec<Manifest>,
    pub(super) repositories: [Contents; 3],
    pub(super) sessions: Vec<Session>,
    /// The blobs of the store, whether or not a repository holds them.
    pub(super) stored: BTreeSet<Digest>,
    /// The files in quarantine, the oldest first.
    pub(super) quarantined: Vec<Aside>,
}

/// The projects of the tests, and the repositories in each.
const PROJECTS: [(&str, &[usize]); 3] = [("", &[0, 1, 2]), ("a", &[0, 1]), ("a/b", &[0])];

impl Model {
    pub(super) fn new() -> Self {
        Self {
            names: ["a/b/one", "a/two", "three"],
            blobs: super::samples::blobs(),
            manifests: super::samples::manifests(),
            repositories: Default::default(),
            sessions: Vec::new(),
            stored: BTreeSet::new(),
            quarantined: Vec::new(),
        }
    }

    /// Creates the projects of the names.
    pub(super) fn make_projects(server: &Server<'_>) {
        use crate::model::names::ProjectId;
        use crate::store::meta::schema::Project;
        server.forge(|tx| {
            let mut parent = ProjectId::ROOT;
            for (path, _) in &PROJECTS[1..] {
                let id = tx.next_project();
                let row = Project { path: (*path).to_owned(), parent: Some(parent), created_ms: 0 };
                tx.put(&schema::PROJECT, id, &row)?;
                tx.put(&schema::PROJECT_PATH, *path, &id)?;
                parent = id;
            }
            Ok(())
        });
    }

    /// Whether a manifest of the repository refers to the blob.
    pub(super) fn is_referenced(&self, repository: usize, blob: &Digest) -> bool {
        let held = self.repositories[repository].manifests.values();
        held.into_iter().any(|sample| self.manifests[*sample].blobs.contains(blob))
    }

    /// Removes a manifest with its tags. The ages of blobs start to which nothing refers any more.
    pub(super) fn drop_manifest(&mut self, repository: usize, digest: &Digest, at: Moment) {
        let contents = &mut self.repositories[repository];
        let sample = contents.manifests.remove(digest).unwrap();
        contents.tags.retain(|_, target| *target != *digest);
        for blob in self.manifests[sample].blobs.clone() {
            let is_referenced = self.is_referenced(repository, &blob);
            if let Some(held) = self.repositories[repository].blobs.get_mut(&blob)
                && !is_referenced
            {
                held.release(at);
            }
        }
    }

    /// Whether the repository has everything that a manifest needs.
    pub(super) fn is_complete(&self, repository: usize, manifest: usize) -> bool {
        let (contents, manifest) = (&self.repositories[repository], &self.manifests[manifest]);
        manifest.blobs.iter().all(|blob| contents.blobs.contains_key(blob))
            && manifest.children.iter().all(|child| contents.manifests.contains_key(child))
    }

    /// Compares the answers of the registry with the model.
    pub(super) fn assert_seen(&self, server: &Server<'_>) {
        let catalog = server
            .access
            .site(&Caller { principal: Principal::Anybody, address: None })
            .map(|grant| names(&server.wait(server.registry.catalog(&grant, None, 100)).unwrap()));
        let listed =
            self.names.iter().zip(&self.repositories).filter(|(_, contents)| !contents.manifests.is_empty());
        let listed: BTreeSet<String> = listed.map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(catalog.unwrap().into_iter().collect::<BTreeSet<_>>(), listed);
        for (name, contents) in self.names.iter().zip(&self.repositories) {
            Self::assert_tags(server, name, contents);
            self.assert_content(server, name, contents);
            self.assert_referrers(server, name, contents);
        }
        for session in &self.sessions {
            let grant = server.grant(self.names[session.repository]);
            let standing = server.wait(server.registry.upload_standing(&grant, session.id)).unwrap();
            assert_eq!(standing.offset, session.received as u64);
        }
        self.assert_usage(server);
    }

    fn assert_tags(server: &Server<'_>, name: &str, contents: &Contents) {
        let tags = match server.wait(server.registry.tags(&server.grant(name), None, 100)) {
            // An unknown repository and one without a push look the same.
            Err(RegistryError::RepositoryUnknown(_))
                if contents.blobs.is_empty() && contents.manifests.is_empty() =>
            {
                Vec::new()
            }
            page => names(&page.unwrap()),
        };
        assert_eq!(tags, contents.tags.keys().cloned().collect::<Vec<_>>(), "tags of {name}");
        for (tag, digest) in &contents.tags {
            let (grant, tag_of) = (server.grant(name), Reference::Tag(tag.parse().unwrap()));
            let head = server.wait(server.registry.manifest_head(&grant, &tag_of));
            assert_eq!(head.unwrap().digest, *digest, "{name}:{tag}");
        }
    }

    fn assert_content(&self, server: &Server<'_>, name: &str, contents: &Contents) {
        for blob in &self.blobs {
            if contents.blobs.contains_key(&blob.digest) {
                assert_eq!(server.pull_blob(name, &blob.digest).unwrap(), blob.content);
            } else {
                let size = server.wait(server.registry.blob_size(&server.grant(name), &blob.digest));
                assert!(matches!(size, Err(RegistryError::BlobUnknown(_))), "{name} has {}", blob.digest);
            }
        }
        for manifest in &self.manifests {
            for algorithm in Algorithm::ALL {
                let digest = manifest.digest_by(algorithm);
                let pulled =
                    server.wait(server.registry.manifest(&server.grant(name), &Reference::Digest(digest)));
                match (pulled, contents.manifests.contains_key(&digest)) {
                    (Ok(pulled), true) => {
                        assert_eq!(pulled.body, manifest.body.as_bytes());
                        assert_eq!(pulled.head.media_type, manifest.media_type);
                    }
                    (Err(RegistryError::ManifestUnknown(_)), false) => {}
                    (pulled, held) => panic!("{name}@{digest} is held: {held}, but {pulled:?}"),
                }
            }
        }
    }

    fn assert_referrers(&self, server: &Server<'_>, name: &str, contents: &Contents) {
        for manifest in &self.manifests {
            let subject = manifest.digest();
            let expected: BTreeSet<Digest> = contents
                .manifests
                .iter()
                .filter(|(_, sample)| self.manifests[**sample].subject == Some(subject))
                .map(|(digest, _)| *digest)
                .collect();
            let query = ReferrerQuery {
                subject: AnyDigest::from(subject),
                artifact_types: Vec::new(),
                last: None,
                limit: None,
            };
            let page = server.wait(server.registry.referrers(&server.grant(name), Arc::new(query))).unwrap();
            let found =
                entries(&page).into_iter().map(|entry| entry["digest"].as_str().unwrap().parse().unwrap());
            assert_eq!(found.collect::<BTreeSet<Digest>>(), expected, "referrers of {name}@{subject}");
        }
    }

    fn assert_usage(&self, server: &Server<'_>) {
        for (index, name) in self.names.iter().enumerate() {
            let expected = self.usage(&[index]);
            let found = server.meta.get(|tx| {
                let Some(id) = tx.get(&schema::REPOSITORY_NAME, *name)? else { return Ok(Usage::default()) };
                Ok::<_, crate::store::meta::StoreError>(
                    tx.get(&schema::USAGE_REPOSITORY, id)?.unwrap_or_default(),
                )
            });
            assert_eq!(found.unwrap(), expected, "usage of {name}");
        }
        for (path, members) in PROJECTS {
            let found = server.meta.get(|tx| {
                let id = tx.get(&schema::PROJECT_PATH, path)?.unwrap();
                Ok::<_, crate::store::meta::StoreError>(
                    tx.get(&schema::USAGE_PROJECT, id)?.unwrap_or_default(),
                )
            });
            assert_eq!(found.unwrap(), self.usage(members), "usage of the project `{path}`");
        }
    }

    /// The expected usage of some repositories together.
    fn usage(&self, members: &[usize]) -> Usage {
        let mut usage = Usage::default();
        for blob in &self.blobs {
            let holds = |index: &usize| self.repositories[*index].blobs.contains_key(&blob.digest);
            if members.iter().any(holds) {
                let size = blob.content.len() as u64;
                usage.blobs += 1;
                usage.bytes += size;
                usage.unique_bytes +=
                    if (0..3).filter(holds).all(|index| members.contains(&index)) { size } else { 0 };
            }
        }
        for contents in members.iter().map(|index| &self.repositories[*index]) {
            usage.manifests += contents.manifests.len() as u64;
            usage.manifest_bytes += contents
                .manifests
                .values()
                .map(|sample| self.manifests[*sample].body.len() as u64)
                .sum::<u64>();
            usage.tags += contents.tags.len() as u64;
        }
        usage
    }
}
