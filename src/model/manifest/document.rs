//! The JSON document of a manifest, before its media type is known.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{MAX_REFERENCES, Manifest, ManifestError, accept};
use crate::model::annotations::Annotations;
use crate::model::descriptor::{Descriptor, short};
use crate::model::digest::AnyDigest;
use crate::model::json::{Fields, List, at};
use crate::model::media_type::{ManifestKind, OCI_INDEX, OCI_MANIFEST, manifest_kind};
use crate::model::units::exact_size;

/// The keys that are read; `fsLayers` marks docker's schema 1.
const KEYS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "subject",
    "artifactType",
    "annotations",
    "fsLayers",
];

/// The fields that a manifest of any type may have. Null counts as absent, as it does for clients; a list
/// that is null is empty.
pub(super) struct Document<'a> {
    fields: Fields,
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: Option<Annotations>,
    /// The JSON text of the annotations, as it was sent.
    annotations_text: Option<&'a str>,
}

impl<'a> Document<'a> {
    /// Determines the media type from the document and the declared `Content-Type`, then checks the document,
    /// which was read from `text`, by the rules of that type.
    pub(super) fn into_manifest(
        self,
        declared: Option<&str>,
        text: &'a str,
    ) -> Result<Manifest, ManifestError> {
        if self.schema_version == Some(1) || self.fields.saw("fsLayers") {
            return Err(ManifestError::Schema1);
        }
        let media_type = self.media_type(declared)?.to_owned();
        let kind = accept(&media_type)?;
        if self.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion { found: self.schema_version });
        }
        self.refuse_ambiguity(&media_type, kind)?;
        let missing = |key| ManifestError::Missing { media_type: media_type.clone(), key };
        let list = |key, list: Option<Vec<Descriptor>>| match list {
            // Go writes null for a list that was never filled.
            None if self.fields.saw(key) => Ok(Vec::new()),
            list => list.ok_or_else(|| missing(key)),
        };
        let (config, layers, manifests) = match kind {
            ManifestKind::Image => {
                let config = self.config.ok_or_else(|| missing("config"))?;
                (Some(config), list("layers", self.layers)?, Vec::new())
            }
            ManifestKind::Index => (None, Vec::new(), list("manifests", self.manifests)?),
        };
        let all = config.iter().chain(&layers).chain(&manifests).chain(&self.subject);
        refuse_contradiction(all)?;
        Ok(Manifest {
            media_type,
            kind,
            config,
            layers,
            manifests,
            subject: self.subject,
            artifact_type: self.artifact_type,
            annotations_at: self.annotations_text.and_then(|part| place_in(text, part)),
            annotations: self.annotations.unwrap_or_default(),
        })
    }

    /// The media type on which header, body and content agree.
    fn media_type<'b>(&'b self, declared: Option<&'b str>) -> Result<&'b str, ManifestError> {
        match (declared, self.media_type.as_deref()) {
            (Some(header), Some(body)) if header != body => Err(ManifestError::conflict(header, body)),
            (Some(media_type), _) | (None, Some(media_type)) => Ok(media_type),
            (None, None) if self.fields.saw("manifests") => Ok(OCI_INDEX),
            (None, None) if self.fields.saw("config") && self.fields.saw("layers") => Ok(OCI_MANIFEST),
            (None, None) => Err(ManifestError::Untyped),
        }
    }

    /// A body that one client reads as an image and another as an index is an attack (CVE-2021-41190). The
    /// key alone is enough to refuse it: containerd refuses the key even with the value null.
    fn refuse_ambiguity(&self, media_type: &str, kind: ManifestKind) -> Result<(), ManifestError> {
        let (foreign, other): (&[&'static str], _) = match kind {
            ManifestKind::Image => (&["manifests"], "an index"),
            ManifestKind::Index => (&["config", "layers"], "an image"),
        };
        match foreign.iter().find(|key| self.fields.saw(key)) {
            Some(key) => Err(ManifestError::Ambiguous { media_type: media_type.to_owned(), key, other }),
            None => Ok(()),
        }
    }
}

/// Refuses two descriptors of the same content that differ in size or kind: each client would believe another
/// one.
fn refuse_contradiction<'d>(descriptors: impl Iterator<Item = &'d Descriptor>) -> Result<(), ManifestError> {
    let mut seen: HashMap<&AnyDigest, &Descriptor> = HashMap::new();
    for descriptor in descriptors {
        let first = *seen.entry(&descriptor.digest).or_insert(descriptor);
        let digest = &descriptor.digest;
        if first.size != descriptor.size {
            let reason =
                format!("it gives {digest} {} and {}", exact_size(first.size), exact_size(descriptor.size));
            return Err(ManifestError::Invalid { reason });
        }
        let kinds = [first, descriptor].map(|one| manifest_kind(&one.media_type));
        if kinds.iter().all(Option::is_some) && first.media_type != descriptor.media_type {
            let (one, other) = (&first.media_type, &descriptor.media_type);
            let reason = format!("it says that {digest} is {one} and that it is {other}");
            return Err(ManifestError::Invalid { reason });
        }
    }
    Ok(())
}

/// The byte range of `part`, which is a slice of `text`, within `text`.
fn place_in(text: &str, part: &str) -> Option<Range<u32>> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    Some(u32::try_from(start).ok()?..u32::try_from(start + part.len()).ok()?)
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let mut document = Document {
            fields: Fields::new(KEYS),
            schema_version: None,
            media_type: None,
            config: None,
            layers: None,
            manifests: None,
            subject: None,
            artifact_type: None,
            annotations: None,
            annotations_text: None,
        };
        while let Some(name) = document.fields.next(&mut map)? {
            match name {
                "schemaVersion" => document.schema_version = at(name, map.next_value())?,
                "mediaType" => document.media_type = non_empty(at(name, map.next_value())?),
                "config" => document.config = at(name, map.next_value())?,
                "layers" => document.layers = map.next_value_seed(List::new(name, MAX_REFERENCES))?,
                "manifests" => document.manifests = map.next_value_seed(List::new(name, MAX_REFERENCES))?,
                "subject" => document.subject = at(name, map.next_value())?,
                "artifactType" => {
                    document.artifact_type = non_empty(at(name, map.next_value())?);
                    at(name, short(document.artifact_type.as_deref().unwrap_or_default()))?;
                }
                "annotations" => {
                    let text: Option<&'de RawValue> = at(name, map.next_value())?;
                    let text = text.map(RawValue::get);
                    let parsed = text.map(|text| serde_json::from_str(text).map_err(A::Error::custom));
                    document.annotations = at(name, parsed.transpose())?;
                    document.annotations_text = text;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(document)
    }
}

/// Go clients cannot tell an empty string from an absent one, and so it counts as absent.
fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
