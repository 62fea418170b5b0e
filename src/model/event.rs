//! Events: changes of the registry, stored as rows of the outbox for later consumers such as webhooks.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::names::{RepoName, Tag};

/// One thing that happened, recorded in the transaction that made it happen.
///
/// Its id is the sequence number of its row. New kinds go to the end: postcard counts variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Who: a user's or token's name, or the worker that did it; empty for an anonymous client.
    pub actor: String,
    /// The client's address; empty for workers.
    pub address: String,
    /// What.
    pub kind: EventKind,
}

/// What happened to which repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A manifest was stored, or stored again, and tags may have been set to it.
    ManifestPushed {
        /// Where.
        repository: RepoName,
        /// The digest it was pushed under.
        digest: Digest,
        /// Its media type.
        media_type: String,
        /// Its size in bytes.
        size: u64,
        /// The tags set by the same push.
        tags: Vec<Tag>,
    },
    /// A manifest was deleted with the tags that were left on it.
    ManifestDeleted {
        /// Where.
        repository: RepoName,
        /// Its digest.
        digest: Digest,
        /// The tags that went with it.
        tags: Vec<Tag>,
    },
    /// A tag was deleted; its manifest stays.
    TagDeleted {
        /// Where.
        repository: RepoName,
        /// The tag.
        tag: Tag,
        /// What it pointed to.
        digest: Digest,
    },
    /// A blob was uploaded.
    BlobPushed {
        /// Where.
        repository: RepoName,
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A blob was linked from another repository.
    BlobMounted {
        /// Where it is now, too.
        repository: RepoName,
        /// Where it was; `None` when the client named no source.
        from: Option<RepoName>,
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A blob was taken out of a repository.
    BlobDeleted {
        /// Where.
        repository: RepoName,
        /// Its digest.
        digest: Digest,
    },
    /// A repository came into being.
    RepositoryCreated {
        /// Its name.
        repository: RepoName,
    },
    /// A repository was removed with all its content.
    RepositoryRemoved {
        /// Its name.
        repository: RepoName,
    },
    /// Some of the tags of a manifest that is being deleted. The manifest has too many tags for one event;
    /// the last of them are in its [`EventKind::ManifestDeleted`].
    TagsDeleted {
        /// Where.
        repository: RepoName,
        /// The tags.
        tags: Vec<Tag>,
        /// What they pointed to.
        digest: Digest,
    },
    /// A deleted manifest or tag was restored from the trash.
    ManifestRestored {
        /// Where.
        repository: RepoName,
        /// The digest.
        digest: Digest,
        /// The tags that point to it again; of very many, the last ones.
        tags: Vec<Tag>,
    },
    /// A deleted repository was restored from the trash.
    RepositoryRestored {
        /// Its name.
        repository: RepoName,
    },
}

impl EventKind {
    /// The repository it happened to.
    pub const fn repository(&self) -> &RepoName {
        match self {
            Self::ManifestPushed { repository, .. }
            | Self::ManifestDeleted { repository, .. }
            | Self::TagDeleted { repository, .. }
            | Self::BlobPushed { repository, .. }
            | Self::BlobMounted { repository, .. }
            | Self::BlobDeleted { repository, .. }
            | Self::RepositoryCreated { repository }
            | Self::RepositoryRemoved { repository }
            | Self::TagsDeleted { repository, .. }
            | Self::ManifestRestored { repository, .. }
            | Self::RepositoryRestored { repository } => repository,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest::Algorithm;
    use super::super::media_type::OCI_MANIFEST;
    use super::*;

    #[test]
    fn an_event_survives_the_outbox() {
        let repository: RepoName = "team/app".parse().unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"{}");
        let tags = vec!["latest".parse().unwrap()];
        let kinds = [
            EventKind::ManifestPushed {
                repository: repository.clone(),
                digest,
                media_type: OCI_MANIFEST.to_owned(),
                size: 2,
                tags: tags.clone(),
            },
            EventKind::ManifestDeleted { repository: repository.clone(), digest, tags },
            EventKind::BlobMounted { repository: repository.clone(), from: None, digest, size: 2 },
            EventKind::RepositoryRemoved { repository: repository.clone() },
        ];
        for kind in kinds {
            let event = Event { at: 1, actor: "alice".into(), address: "192.0.2.1".into(), kind };
            let packed = postcard::to_allocvec(&event).unwrap();
            assert_eq!(postcard::from_bytes::<Event>(&packed).unwrap(), event);
            assert_eq!(event.kind.repository(), &repository);
        }
    }
}
