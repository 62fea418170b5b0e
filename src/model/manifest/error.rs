//! Why a manifest is refused, in the words that `docker push` prints.

use thiserror::Error;

use super::{MAX_DEPTH, MAX_MANIFEST_SIZE};
use crate::model::media_type::MANIFESTS;
use crate::model::text::quote;

/// Why a body is not a manifest that every client understands in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// More than [`MAX_MANIFEST_SIZE`].
    #[error(
        "manifest has {size} bytes, more than the {MAX_MANIFEST_SIZE} that clients read: move large annotations or \
         embedded data into a layer"
    )]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The body is not UTF-8.
    #[error("manifest is not UTF-8 text: byte {offset} is invalid")]
    NotUtf8 {
        /// The offset of the first byte that is not.
        offset: usize,
    },
    /// Brackets nest too deep.
    #[error("manifest nests deeper than {MAX_DEPTH} levels: flatten it")]
    TooDeep,
    /// It does not follow the grammar of JSON.
    #[error("manifest is not JSON: {reason}")]
    NotJson {
        /// What is wrong, and where.
        reason: String,
    },
    /// It is JSON, but a field is missing, has a wrong value, or comes twice.
    #[error("manifest is invalid: {reason}")]
    Invalid {
        /// What is wrong, and where.
        reason: String,
    },
    /// An image manifest of docker's schema 1.
    #[error(
        "docker schema 1 manifests are not accepted: pull and push the image again with docker 1.10 or newer, or \
         convert it with `skopeo copy --format v2s2`"
    )]
    Schema1,
    /// A manifest type that OCI 1.1 dropped before its release.
    #[error(
        "OCI artifact manifests (application/vnd.oci.artifact.manifest.v1+json) are not accepted, because OCI 1.1 \
         was released without them: push an image manifest with artifactType, as oras 1.1 and newer do"
    )]
    ArtifactManifest,
    /// A media type that is not a manifest's.
    #[error("media type `{media_type}` is not that of a manifest: use {}", MANIFESTS.join(", "))]
    UnknownType {
        /// The type, shortened.
        media_type: String,
    },
    /// Neither the header nor the body says what it is, nor can one tell from its content.
    #[error(
        "manifest has no media type: set the header Content-Type and the field mediaType to one of {}",
        MANIFESTS.join(", ")
    )]
    Untyped,
    /// Header and body contradict each other.
    #[error(
        "header Content-Type says `{header}`, but the manifest's mediaType says `{body}`: make them equal"
    )]
    Conflict {
        /// The header's type, shortened.
        header: String,
        /// The body's type, shortened.
        body: String,
    },
    /// `schemaVersion` is not 2.
    #[error("manifest needs `\"schemaVersion\": 2`, but {}", version_found(*found))]
    SchemaVersion {
        /// What it says.
        found: Option<u64>,
    },
    /// A field that the type demands is absent, or null where no list is meant.
    #[error("manifest of type {media_type} needs `{key}`; a list may be empty, but must be there")]
    Missing {
        /// The manifest's type.
        media_type: String,
        /// The field.
        key: &'static str,
    },
    /// A field that would make it something else to another client.
    #[error(
        "manifest of type {media_type} must not have `{key}`, because some clients would read it as {other}: remove it"
    )]
    Ambiguous {
        /// The manifest's type.
        media_type: String,
        /// The field.
        key: &'static str,
        /// What such a client would take it for.
        other: &'static str,
    },
}

impl ManifestError {
    /// Refuses a type that is not accepted.
    pub(super) fn unknown_type(media_type: &str) -> Self {
        Self::UnknownType { media_type: quote(media_type) }
    }

    /// Refuses a header and a body that contradict each other.
    pub(super) fn conflict(header: &str, body: &str) -> Self {
        Self::Conflict { header: quote(header), body: quote(body) }
    }
}

fn version_found(version: Option<u64>) -> String {
    version.map_or_else(|| "it has none".to_owned(), |version| format!("it says {version}"))
}
