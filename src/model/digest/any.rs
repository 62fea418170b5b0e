//! Digests in descriptors, also of algorithms that the registry does not support.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{Algorithm, Digest, DigestError, DigestKey, encoding};
use crate::model::text::quote;

/// The longest digest text that is accepted, in bytes.
const MAX_TEXT: usize = 512;

/// The first byte of a foreign digest's key.
const FOREIGN: u8 = 0;

/// The digest in a descriptor or a subject: any text that follows the grammar of the OCI image-spec
/// ("Digests"). The order is that of [`AnyDigest::key`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnyDigest {
    /// The text of a valid digest whose algorithm the registry cannot compute; only [`FromStr`] constructs
    /// it.
    Foreign(Box<str>),
    /// A digest we can compute.
    Known(Digest),
}

impl AnyDigest {
    /// The digest, if it is one that we can compute.
    pub const fn known(&self) -> Option<Digest> {
        match self {
            Self::Known(digest) => Some(*digest),
            Self::Foreign(_) => None,
        }
    }

    /// The form used in keys: that of [`Digest::key`], or a zero byte and the text of a foreign digest.
    pub fn key(&self) -> AnyDigestKey {
        match self {
            Self::Known(digest) => AnyDigestKey::Known(digest.key()),
            Self::Foreign(text) => AnyDigestKey::Foreign([&[FOREIGN], text.as_bytes(), &[0]].concat()),
        }
    }

    /// Reads back what [`AnyDigest::key`] made.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match key.split_first()? {
            (&FOREIGN, text) => {
                let digest: Self = str::from_utf8(text).ok()?.parse().ok()?;
                digest.known().is_none().then_some(digest)
            }
            _ => Digest::from_key(key).map(Self::Known),
        }
    }
}

/// The key form of any digest, without an allocation for one that we can compute.
#[derive(Debug, Clone)]
pub enum AnyDigestKey {
    /// The key of a foreign digest, and a zero.
    Foreign(Vec<u8>),
    /// The key of a digest that we can compute.
    Known(DigestKey),
}

impl AnyDigestKey {
    /// The lowest bytes above the key: the key and a zero.
    pub fn next(&self) -> &[u8] {
        match self {
            Self::Foreign(bytes) => bytes,
            Self::Known(key) => key.next(),
        }
    }
}

impl Deref for AnyDigestKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Foreign(bytes) => &bytes[..bytes.len() - 1],
            Self::Known(key) => key,
        }
    }
}

impl From<Digest> for AnyDigest {
    fn from(digest: Digest) -> Self {
        Self::Known(digest)
    }
}

impl fmt::Display for AnyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(digest) => fmt::Display::fmt(digest, f),
            Self::Foreign(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for AnyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AnyDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let malformed = || DigestError::Malformed { text: quote(text) };
        let (algorithm, encoded) = split(text).ok_or_else(malformed)?;
        match algorithm.parse::<Algorithm>() {
            Ok(algorithm) => {
                let raw = encoding::unhex(encoded).ok_or_else(malformed)?;
                Digest::from_raw(algorithm, &raw).map(Self::Known).ok_or_else(malformed)
            }
            Err(_) => Ok(Self::Foreign(text.into())),
        }
    }
}

/// The algorithm and the encoded part of a text that follows the grammar of digests.
fn split(text: &str) -> Option<(&str, &str)> {
    let (algorithm, encoded) = text.split_once(':')?;
    let component = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let in_encoded = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-');
    let grammatical = text.len() <= MAX_TEXT
        && algorithm.split(['+', '.', '_', '-']).all(component)
        && !encoded.is_empty()
        && encoded.bytes().all(in_encoded);
    grammatical.then_some((algorithm, encoded))
}
