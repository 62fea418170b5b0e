//! Descriptors: how a manifest refers to other content (OCI image-spec, "OCI Content Descriptors").

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::annotations::Annotations;
use super::digest::{AnyDigest, Digest};
use super::json::{Fields, List, at};
use super::units::exact_size;

/// The most URLs that a descriptor may have. URLs are only counted; foreign layers have one or two.
const MAX_URLS: usize = 16;

/// The largest size that clients can read: Go's int64.
const MAX_SIZE: u64 = i64::MAX as u64;

/// The longest media type: two names of 127 characters (RFC 6838, 4.2).
const MAX_MEDIA_TYPE: usize = 255;

/// The keys that are read. A key that some client would take for one of these is refused.
const KEYS: &[&str] = &["mediaType", "digest", "size", "urls", "annotations", "artifactType", "data"];

/// A descriptor as it stands in a manifest; embedded data is verified and then dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is; never empty.
    pub media_type: String,
    /// The content's digest.
    pub digest: AnyDigest,
    /// The content's size in bytes.
    pub size: u64,
    /// Where else the content may be had; never fetched by the registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations of the descriptor, not of the content.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// The artifact type of the manifest described; never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DescriptorVisitor)
    }
}

struct DescriptorVisitor;

impl<'de> Visitor<'de> for DescriptorVisitor {
    type Value = Descriptor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor object with mediaType, digest and size")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Descriptor, A::Error> {
        let (mut media_type, mut digest, mut size) = (None::<String>, None::<AnyDigest>, None);
        let (mut urls, mut annotations) = (None, None);
        let (mut artifact_type, mut data) = (None::<String>, None::<Data>);
        let mut fields = Fields::new(KEYS);
        while let Some(name) = fields.next(&mut map)? {
            match name {
                "mediaType" => media_type = Some(at(name, map.next_value())?),
                "digest" => digest = Some(at(name, map.next_value())?),
                "size" => size = Some(at(name, map.next_value::<Size>())?.0),
                "urls" => urls = map.next_value_seed(List::new(name, MAX_URLS))?,
                "annotations" => annotations = at(name, map.next_value())?,
                "artifactType" => artifact_type = at(name, map.next_value())?,
                _ => data = at(name, map.next_value())?,
            }
        }
        let media_type = media_type.ok_or_else(|| A::Error::missing_field("mediaType"))?;
        if media_type.is_empty() {
            return Err(A::Error::custom("mediaType: the descriptor must say what it describes"));
        }
        at("mediaType", short(&media_type))?;
        at("artifactType", short(artifact_type.as_deref().unwrap_or_default()))?;
        let descriptor = Descriptor {
            media_type,
            digest: digest.ok_or_else(|| A::Error::missing_field("digest"))?,
            size: size.ok_or_else(|| A::Error::missing_field("size"))?,
            urls: urls.unwrap_or_default(),
            annotations: annotations.unwrap_or_default(),
            artifact_type: artifact_type.filter(|text| !text.is_empty()),
        };
        if let Some(Data(data)) = data {
            at("data", embeds(&descriptor, &data))?;
        }
        Ok(descriptor)
    }
}

/// Refuses a media type that is too long: rows of lists contain it.
pub(super) fn short<E: Error>(media_type: &str) -> Result<(), E> {
    if media_type.len() <= MAX_MEDIA_TYPE {
        return Ok(());
    }
    Err(E::custom(format_args!(
        "it has {} bytes, and a media type has at most {MAX_MEDIA_TYPE}: shorten it",
        media_type.len()
    )))
}

/// Refuses embedded data that is not the content described.
fn embeds<E: Error>(descriptor: &Descriptor, data: &[u8]) -> Result<(), E> {
    let (size, length) = (descriptor.size, data.len());
    if length as u64 != size {
        let has = exact_size(length as u64);
        return Err(E::custom(format_args!("the embedded content has {has}, but size says {size}")));
    }
    match descriptor.digest.known() {
        Some(digest) if Digest::of(digest.algorithm(), data) != digest => {
            Err(E::custom(format_args!("the embedded content does not have the digest {digest}")))
        }
        _ => Ok(()),
    }
}

/// A number of bytes that every client can hold.
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of bytes from 0 to {MAX_SIZE}")
    }

    fn visit_u64<E: Error>(self, size: u64) -> Result<Size, E> {
        if size > MAX_SIZE {
            return Err(E::invalid_value(Unexpected::Unsigned(size), &self));
        }
        Ok(Size(size))
    }

    fn visit_i64<E: Error>(self, size: i64) -> Result<Size, E> {
        Err(E::invalid_value(Unexpected::Signed(size), &self))
    }
}

/// Embedded content, decoded.
struct Data(Vec<u8>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DataVisitor)
    }
}

struct DataVisitor;

impl Visitor<'_> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("content in base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Data, E> {
        STANDARD.decode(text).map(Data).map_err(|error| E::custom(format_args!("not valid base64: {error}")))
    }
}
