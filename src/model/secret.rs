//! Secrets in the form in which they are stored.

use serde::{Deserialize, Serialize};

/// SHA-256 of a secret. The secret has enough random bits that a slow hash is not needed. Only the hash is
/// stored, and a secret is looked up by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Reads back the bytes of a hash.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}
