//! Manifests: what a pushed body means, or why it is refused (OCI image-spec, "Image Manifest" and "Image
//! Index").

mod document;
mod error;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

pub use error::ManifestError;

use super::annotations::Annotations;
use super::descriptor::Descriptor;
use super::digest::AnyDigest;
use super::json::{message, nests_deeper};
use super::media_type::{self, ManifestKind, manifest_kind};
use document::Document;

/// The largest manifest, in bytes: 4 MiB, the limit that the distribution-spec names and clients apply.
pub const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// How many layers or children a manifest may have (docs/decisions.md, "Limits of manifests").
pub const MAX_REFERENCES: usize = 10_000;

/// How deep brackets may nest in a manifest: a bound on the parser's stack.
const MAX_DEPTH: usize = 32;

/// A manifest as every client must understand it. The bytes are stored unchanged; this is what the registry
/// reads from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// One of [`media_type::MANIFESTS`].
    pub media_type: String,
    /// The kind of that media type.
    pub kind: ManifestKind,
    /// The config; every image has one, no index has.
    pub config: Option<Descriptor>,
    /// The layers of an image, as listed.
    pub layers: Vec<Descriptor>,
    /// The entries of an index, as listed: manifests, and blobs in a `BuildKit` cache.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to; it need not exist.
    pub subject: Option<Descriptor>,
    /// Its own artifact type; never empty.
    pub artifact_type: Option<String>,
    /// Its own annotations.
    pub annotations: Annotations,
    /// The bytes of the body that are the JSON object of the annotations.
    pub annotations_at: Option<Range<u32>>,
}

/// A blob that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobReference {
    /// Its digest.
    pub digest: AnyDigest,
    /// The size that the manifest gives it.
    pub size: u64,
    /// Whether the repository must have the blob before it accepts the manifest. Not so for layers that are
    /// kept elsewhere.
    pub required: bool,
}

impl Manifest {
    /// Reads a pushed body, with the value of its `Content-Type`.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, ManifestError> {
        if body.len() > MAX_MANIFEST_SIZE {
            return Err(ManifestError::TooLarge { size: body.len() });
        }
        let says = |essence: &&str| !essence.is_empty() && !media_type::is_generic(essence);
        let declared = content_type.map(media_type::essence).filter(says);
        if let Some(declared) = declared {
            accept(declared)?;
        }
        let text =
            str::from_utf8(body).map_err(|error| ManifestError::NotUtf8 { offset: error.valid_up_to() })?;
        if nests_deeper(text, MAX_DEPTH) {
            return Err(ManifestError::TooDeep);
        }
        let document: Document<'_> = serde_json::from_str(text).map_err(|error| {
            let reason = message(&error);
            if error.is_data() {
                ManifestError::Invalid { reason }
            } else {
                ManifestError::NotJson { reason }
            }
        })?;
        document.into_manifest(declared, text)
    }

    /// The blobs it names, each digest once: config, layers, and index entries that are no manifests.
    pub fn blobs(&self) -> Vec<BlobReference> {
        let entries = self.manifests.iter().filter(|entry| manifest_kind(&entry.media_type).is_none());
        let mut blobs: Vec<BlobReference> = Vec::new();
        let mut places: HashMap<&AnyDigest, usize> = HashMap::new();
        for descriptor in self.config.iter().chain(&self.layers).chain(entries) {
            let elsewhere =
                media_type::is_nondistributable(&descriptor.media_type) || !descriptor.urls.is_empty();
            let required = !elsewhere;
            match places.entry(&descriptor.digest) {
                Entry::Occupied(place) => blobs[*place.get()].required |= required,
                Entry::Vacant(place) => {
                    place.insert(blobs.len());
                    blobs.push(BlobReference {
                        digest: descriptor.digest.clone(),
                        size: descriptor.size,
                        required,
                    });
                }
            }
        }
        blobs
    }

    /// The manifests that an index lists, each digest once.
    pub fn children(&self) -> Vec<&Descriptor> {
        let mut seen = HashSet::new();
        let manifests = self.manifests.iter().filter(|entry| manifest_kind(&entry.media_type).is_some());
        manifests.filter(|entry| seen.insert(&entry.digest)).collect()
    }

    /// The artifact type under which the subject's referrers list it (distribution-spec, "Listing
    /// Referrers"): its own, else that of an image's config.
    pub fn referrer_artifact_type(&self) -> Option<&str> {
        let config = self.config.as_ref().map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or(config)
    }
}

/// The kind of an accepted manifest type; for any other, why it is refused.
fn accept(media_type: &str) -> Result<ManifestKind, ManifestError> {
    if media_type::is_schema1(media_type) {
        return Err(ManifestError::Schema1);
    }
    if media_type == media_type::OCI_ARTIFACT {
        return Err(ManifestError::ArtifactManifest);
    }
    manifest_kind(media_type).ok_or_else(|| ManifestError::unknown_type(media_type))
}
