//! Value types: the protocol's texts and numbers, parsed once where they enter the program. No I/O, and no
//! imports from other modules of the crate.

pub mod annotations;
pub mod audit;
pub mod descriptor;
pub mod digest;
pub mod event;
mod json;
pub mod manifest;
pub mod media_type;
pub mod names;
pub mod referrers;
pub mod secret;
mod text;
pub mod time;
pub mod units;
pub mod when;

pub use annotations::Annotations;
pub use audit::AuditAction;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, AnyDigest, AnyDigestKey, Digest, DigestError, DigestKey, Hasher};
pub use event::{Event, EventKind};
pub use manifest::{BlobReference, MAX_MANIFEST_SIZE, Manifest, ManifestError};
pub use media_type::ManifestKind;
pub use names::{
    NameError, ProjectId, Reference, ReferenceError, RepoId, RepoName, Sequence, Tag, TagError, TokenId,
    UploadId, UploadIdError, UserId,
};
pub use secret::SecretHash;
pub use text::percent_encoded;
pub use time::{Now, RunningSecond};
pub use units::{ByteSize, HumanDuration, UnitError};
pub use when::{When, WhenError};
