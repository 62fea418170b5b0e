//! The content of a seeded store. Every name and every byte is computed from numbers, so nothing need be
//! stored to request it.

use std::ops::Range;

use stowage::model::digest::{Algorithm, Digest};

/// The media type of all manifests.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The artifact type of manifests that have a subject.
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.example.sbom";
/// The number of tags of the list that stores of every size have.
pub(crate) const LIST: usize = 1_000;
/// The repository with that list.
pub(crate) const LIST_NAME: &str = "growth/tags-1000";
/// The repository with the long list.
pub(crate) const LONG_LIST_NAME: &str = "growth/tags-long";
/// The size of a layer in bytes.
const LAYER: usize = 1 << 10;

/// The amounts of content in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Manifests, each with a body of its own.
    pub(crate) manifests: usize,
    /// The number of tags.
    pub(crate) tags: usize,
    /// Repositories, each with a layer of its own.
    pub(crate) repositories: usize,
    /// Manifests of the repository with [`LIST`] tags.
    pub(crate) list_manifests: usize,
    /// The number of tags, and of manifests, of the repository with the long list; 0: there is none.
    pub(crate) long_list: usize,
}

/// One repository: the ranges of manifests and tags that belong to it. Its tag `n` points to its manifest
/// `n`, modulo their number.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) manifests: Range<usize>,
    pub(crate) tags: Range<usize>,
    /// Whether its last manifest has its first one as its subject.
    pub(crate) refers: bool,
}

/// The content of a store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) sizes: Sizes,
    /// In the order of their names, except that the lists come first.
    pub(crate) repositories: Vec<Repository>,
    /// How many of the repositories are lists.
    pub(crate) lists: usize,
}

impl Layout {
    pub(crate) fn new(sizes: Sizes) -> Self {
        let mut repositories: Vec<Repository> = Vec::with_capacity(sizes.repositories);
        let add = |repositories: &mut Vec<Repository>, name: String, manifests, tags, refers| {
            let from = repositories.last().map_or((0, 0), |last| (last.manifests.end, last.tags.end));
            let manifests = from.0..from.0 + manifests;
            repositories.push(Repository { name, manifests, tags: from.1..from.1 + tags, refers });
        };
        add(&mut repositories, LIST_NAME.to_owned(), sizes.list_manifests, LIST, false);
        if sizes.long_list > 0 {
            add(&mut repositories, LONG_LIST_NAME.to_owned(), sizes.long_list, sizes.long_list, false);
        }
        let lists = repositories.len();
        let others = sizes.repositories - lists;
        let left =
            (sizes.manifests - sizes.list_manifests - sizes.long_list, sizes.tags - LIST - sizes.long_list);
        for number in 0..others {
            let share = |all: usize| all / others + usize::from(number < all % others);
            let (manifests, tags) = (share(left.0), share(left.1));
            add(&mut repositories, repository_name(number), manifests, tags, manifests > 1);
        }
        Self { sizes, repositories, lists }
    }

    /// The indexes of the repositories that are not lists.
    pub(crate) fn ordinary(&self) -> Range<usize> {
        self.lists..self.repositories.len()
    }

    /// The repository with a manifest, and the manifest's number there.
    pub(crate) fn of_manifest(&self, number: usize) -> (usize, usize) {
        let place = self.repositories.partition_point(|repository| repository.manifests.end <= number);
        (place, number - self.repositories[place].manifests.start)
    }

    /// The repository with a tag, and the tag's number there.
    pub(crate) fn of_tag(&self, number: usize) -> (usize, usize) {
        let place = self.repositories.partition_point(|repository| repository.tags.end <= number);
        (place, number - self.repositories[place].tags.start)
    }

    /// The number of the manifest that a tag points to, in the same repository.
    pub(crate) fn tagged(&self, repository: usize, tag: usize) -> usize {
        tag % self.repositories[repository].manifests.len()
    }

    /// Whether a manifest has the first one of its repository as its subject.
    pub(crate) fn subject(&self, repository: usize, number: usize) -> bool {
        let repository = &self.repositories[repository];
        repository.refers && number + 1 == repository.manifests.len()
    }

    /// A manifest: the config that all share, the repository's layer, and an annotation that makes it unique.
    pub(crate) fn manifest(&self, repository: usize, number: usize) -> String {
        let subject = if self.subject(repository, number) {
            let first = self.manifest(repository, 0);
            format!(
                r#""artifactType":"{ARTIFACT_TYPE}","subject":{},"#,
                descriptor(MANIFEST_TYPE, first.as_bytes())
            )
        } else {
            String::new()
        };
        self.noted(repository, &subject, &number.to_string())
    }

    /// A manifest that is not in the store and could be pushed to the repository.
    pub(crate) fn another(&self, repository: usize, note: &str) -> String {
        self.noted(repository, "", note)
    }

    fn noted(&self, repository: usize, subject: &str, note: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}",{subject}"config":{},"layers":[{}],"annotations":{{"org.opencontainers.image.title":"{}","org.example.growth":"{note}"}}}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", config()),
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer(repository)),
            self.repositories[repository].name,
        )
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, digest_of(content), content.len())
}

pub(crate) fn digest_of(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// The config of all images.
pub(crate) fn config() -> &'static [u8] {
    br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#
}

/// The layer of a repository.
pub(crate) fn layer(repository: usize) -> Vec<u8> {
    let mut layer = format!("layer of repository {repository}\n").into_bytes();
    let mut word = repository as u64;
    while layer.len() < LAYER {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        layer.extend_from_slice(&word.to_be_bytes());
    }
    layer.truncate(LAYER);
    layer
}

/// The name of the repository with this number, among those that are not lists.
pub(crate) fn repository_name(number: usize) -> String {
    format!("growth/r{number:06}")
}

/// The name of a tag.
pub(crate) fn tag_name(number: usize) -> String {
    format!("t{number:06}")
}
