//! Content digests: the algorithms we can compute, their text and key forms, and the hashers behind them.

mod any;
mod encoding;
mod hasher;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use thiserror::Error;

pub use any::{AnyDigest, AnyDigestKey};
pub use hasher::Hasher;

use super::text::{quote, serde_as_text};

/// The longest raw digest, in bytes: sha512.
const MAX_RAW: usize = 64;

/// A digest algorithm that the registry computes (image-spec, descriptor: registered algorithms).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Algorithm {
    /// SHA-256, which every client knows.
    Sha256 = 1,
    /// SHA-512.
    Sha512 = 2,
    /// BLAKE3 with 256 bits of output.
    Blake3 = 3,
}

impl Algorithm {
    /// All of them, in the order of their bytes.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512, Self::Blake3];

    /// The name in front of the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// The byte that stands for the algorithm in keys; never reused for another.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The algorithm behind a key's first byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            3 => Some(Self::Blake3),
            _ => None,
        }
    }

    /// How many raw bytes a digest of this algorithm has.
    #[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| DigestError::Unsupported { algorithm: quote(text) })
    }
}

serde_as_text!(Algorithm: "a digest algorithm");

/// The digest of content that the registry can compute and therefore store (OCI image-spec, "Registered
/// Algorithms").
///
/// The order is that of [`Digest::key`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero beyond the algorithm's length.
    raw: [u8; MAX_RAW],
}

impl Digest {
    /// The digest of `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash.
    pub fn bytes(&self) -> &[u8] {
        &self.raw[..self.algorithm.len()]
    }

    /// The raw hash in lower-case hexadecimal: what follows the colon.
    pub fn hex(&self) -> String {
        encoding::hex(self.bytes())
    }

    /// The form used in keys of the metadata store: the algorithm's byte, then the raw hash.
    pub fn key(&self) -> DigestKey {
        let mut bytes = [0; 1 + MAX_RAW + 1];
        bytes[0] = self.algorithm.byte();
        bytes[1..=MAX_RAW].copy_from_slice(&self.raw);
        DigestKey { bytes, len: 1 + self.algorithm.len() }
    }

    /// Reads back what [`Digest::key`] made.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (&byte, raw) = key.split_first()?;
        Self::from_raw(Algorithm::from_byte(byte)?, raw)
    }

    /// A digest from its raw hash, if that has the right length.
    fn from_raw(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        let mut raw = [0; MAX_RAW];
        raw.get_mut(..hash.len())?.copy_from_slice(hash);
        (hash.len() == algorithm.len()).then_some(Self { algorithm, raw })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.parse()? {
            AnyDigest::Known(digest) => Ok(digest),
            AnyDigest::Foreign(text) => {
                let algorithm = text.split(':').next().unwrap_or_default();
                Err(DigestError::Unsupported { algorithm: quote(algorithm) })
            }
        }
    }
}

/// The key form of a digest, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct DigestKey {
    /// Zero behind the key.
    bytes: [u8; 1 + MAX_RAW + 1],
    len: usize,
}

impl DigestKey {
    /// The lowest bytes above the key: the key and a zero.
    pub fn next(&self) -> &[u8] {
        &self.bytes[..=self.len]
    }
}

impl Deref for DigestKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for DigestKey {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Why a text is not a digest that the registry supports.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DigestError {
    /// It does not follow the grammar, or its encoded part does not fit its algorithm.
    #[error(
        "digest `{text}` is malformed: write the algorithm, a colon and the hash in lower-case hexadecimal, \
         such as sha256: and 64 digits"
    )]
    Malformed {
        /// What was sent, shortened.
        text: String,
    },
    /// A valid digest of an algorithm that the registry cannot compute.
    #[error("digest algorithm `{algorithm}` is not supported: use sha256, sha512 or blake3")]
    Unsupported {
        /// The algorithm's name, shortened.
        algorithm: String,
    },
}
