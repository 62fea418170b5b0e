//! The errors of the registry; `http` maps them to status codes. Where CNCF Distribution has a message for an
//! error, the message here begins with it, because scripts and test suites look for it.

use std::io;

use super::little_space::LittleSpace;
use crate::access::Withdrawn;
use crate::limits::LimitReached;
use crate::model::digest::{AnyDigest, Digest};
use crate::model::manifest::ManifestError;
use crate::model::names::{RepoName, Sequence, Tag};
use crate::model::units::exact_size;
use crate::store::meta::StoreError;
use crate::store::meta::schema::Listed;

/// Content that a manifest refers to and that its repository does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingReference {
    /// Its digest.
    pub digest: AnyDigest,
    /// Whether it is a manifest; otherwise it is a blob.
    pub manifest: bool,
    /// A repository from which the caller may mount it.
    pub elsewhere: Option<String>,
}

/// Why an operation failed. Unless stated otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The permission was withdrawn while the request was under way.
    #[error("the permission for this was revoked during the request; sign in again")]
    Withdrawn,
    /// There is no such repository.
    #[error("repository name not known to registry: {0}")]
    RepositoryUnknown(RepoName),
    /// The repository has no such blob.
    #[error("blob unknown to registry: {0} is not in the repository")]
    BlobUnknown(Digest),
    /// The repository has no such manifest or tag.
    #[error("manifest unknown: {0} is not in the repository")]
    ManifestUnknown(String),
    /// There is no manifest and no blob with the digest.
    #[error("no manifest and no blob has the digest {0}")]
    ContentUnknown(Digest),
    /// Nothing with the digest is hidden because it is damaged.
    #[error("nothing with the digest {0} is hidden as damaged; nothing was dropped")]
    NotDamaged(Digest),
    /// A pin holds everything against garbage collection.
    #[error(
        "garbage collection removes nothing, because the pin {0} holds everything: wait for its end, or remove it with: stowage gc unpin {0}"
    )]
    Pinned(String),
    /// There is no pin with this name.
    #[error("there is no pin {0}, or it has ended")]
    PinUnknown(String),
    /// The name is not one for a pin.
    #[error(
        "the name of a pin has 1 to 64 lower-case letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"
    )]
    PinName,
    /// A pin would end at once, or too late.
    #[error("a pin lasts from 1s to 7d; to hold everything for longer, set it again before its end")]
    PinLength,
    /// There are as many pins as there may be.
    #[error("there are {0} pins already; remove one with: stowage gc unpin NAME")]
    TooManyPins(usize),
    /// There is no such upload session for this caller in this repository.
    #[error(
        "blob upload unknown to registry: it was finished, cancelled or left alone too long; start a new one"
    )]
    UploadUnknown,
    /// The bytes do not follow on those of the upload.
    #[error(
        "the upload stands at byte {offset}: send the bytes from there on, or ask for its state with GET"
    )]
    RangeInvalid {
        /// Bytes received so far.
        offset: u64,
    },
    /// Another request is sending bytes to the upload.
    #[error(
        "another request is sending to this upload, which has {}: let it end, or ask for the upload's state with GET",
        exact_size(*.offset)
    )]
    UploadInUse {
        /// Bytes received so far.
        offset: u64,
    },
    /// The body had another length than announced.
    #[error(
        "the length of the body differs from its Content-Range or Content-Length; the upload is at byte {offset}"
    )]
    SizeInvalid {
        /// Bytes received so far.
        offset: u64,
    },
    /// The client's connection broke before the whole body was received. The received part is kept.
    #[error(
        "the connection closed before the whole body was received; the upload is at byte {offset} and can be resumed"
    )]
    Cut {
        /// Bytes received so far.
        offset: u64,
    },
    /// The content does not have the announced digest. The upload is dropped.
    #[error(
        "the content has the digest {actual}, not {expected}: it was corrupted in transit; push it again"
    )]
    DigestMismatch {
        /// The digest that the client sent.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// A manifest refers to it, so it stays.
    #[error("the blob {0} is still referenced by a manifest of the repository; delete the manifests first")]
    BlobReferenced(Digest),
    /// The body is not a valid manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest refers to content that does not exist.
    #[error("the manifest refers to {} blob(s) or manifest(s) that are not in the repository", .0.len())]
    ReferencesMissing(Vec<MissingReference>),
    /// The manifest gives a blob another size than it has.
    #[error("the manifest says that {digest} has {said} bytes, but it has {actual}; build the image again")]
    ReferenceSize {
        /// The blob.
        digest: AnyDigest,
        /// What the manifest says.
        said: u64,
        /// What is stored.
        actual: u64,
    },
    /// The manifest gives another manifest a media type that it does not have.
    #[error("the manifest says that {digest} is {said}, but it is {actual}; build the index again")]
    ReferenceType {
        /// The manifest referred to.
        digest: AnyDigest,
        /// What the manifest says.
        said: String,
        /// What is stored.
        actual: String,
    },
    /// Manifests of the repository that were pushed before the blob give it another size.
    #[error(
        "manifests of the repository give {digest} {}, but it has {actual}; delete them, and push them again as they should be",
        exact_size(*.said)
    )]
    SaidOtherwise {
        /// The blob.
        digest: Digest,
        /// The size in the manifests.
        said: u64,
        /// The size of the blob.
        actual: u64,
    },
    /// An index of the repository that was pushed before the manifest describes it differently.
    #[error(
        "the index {index} of the repository says that {digest} is a {} of {}, but it has another type or {}; delete that index, and build it again",
        .said.media_type, exact_size(.said.size), exact_size(*.size)
    )]
    ListedOtherwise {
        /// The manifest.
        digest: Digest,
        /// The index.
        index: Digest,
        /// The description in the index.
        said: Listed,
        /// The bytes of the manifest.
        size: u64,
    },
    /// The repository has as many tags as it may have.
    #[error(
        "the repository has {limit} tags, as many as limits.tags_per_repository permits; delete some first"
    )]
    TooManyTags {
        /// The limit.
        limit: u64,
    },
    /// The index nests too deep.
    #[error("the index is nested {0} levels deep; this registry accepts 8")]
    TooDeep(u8),
    /// The tag does not fulfil the client's condition.
    #[error("the tag {tag} points to {}; the condition of the request does not hold", .actual.map_or("nothing".to_owned(), |digest| digest.to_string()))]
    PreconditionFailed {
        /// The tag.
        tag: Tag,
        /// The manifest that it points to.
        actual: Option<Digest>,
    },
    /// There is no such entry of the trash.
    #[error("there is no entry {0} in the trash: it was restored, or is removed for good")]
    TrashUnknown(Sequence),
    /// What is restored has a name that something else has now.
    #[error(
        "{0} exists again: delete it first, or restore a tag or a repository under another name (--as NAME)"
    )]
    NameTaken(String),
    /// The new name does not suit what is restored.
    #[error(
        "`{0}` is no name for what is restored: a deleted tag gets another tag, a deleted repository the name of a repository, and a deleted manifest keeps its tags"
    )]
    RestoredName(String),
    /// What is restored belongs to a repository that is in the trash itself.
    #[error(
        "the repository {0} is in the trash, too; restore it first: stowage repo restore {0}, with --as NAME if its name is taken"
    )]
    RepositoryInTrash(String),
    /// A repository in the trash to which an upload was under way cannot be removed yet.
    #[error(
        "an upload to the repository {0} was under way when it was deleted: it is removed when the upload is over, after storage.gc.upload_idle at the latest"
    )]
    UploadsIntoTrash(String),
    /// The manifest of a deleted tag does not exist any more.
    #[error("the manifest {0} of the deleted tag does not exist any more; push the image again")]
    NotInTrash(String),
    /// Too little free space would be left.
    #[error("{0}: free some space or ask the registry's admin to; pulls and deletions still work")]
    LittleSpace(LittleSpace),
    /// The disk is full.
    #[error(
        "the registry's disk is full: free some space or ask its admin to; pulls and deletions still work"
    )]
    DiskFull,
    /// The disk is read-only.
    #[error("the registry's disk is read-only: pulls still work, pushes do not")]
    ReadOnly,
    /// The caller reached a limit.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// An I/O error.
    #[error("the registry's disk failed: {0}")]
    Io(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// A task inside the server ended without a result.
    #[error("the registry could not finish the request; try again")]
    Interrupted,
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::DiskFull,
            StoreError::ReadOnly => Self::ReadOnly,
            other => Self::Store(other),
        }
    }
}

impl From<io::Error> for RegistryError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<Withdrawn> for RegistryError {
    fn from(Withdrawn: Withdrawn) -> Self {
        Self::Withdrawn
    }
}
