//! Secrets as they are stored.

use serde::{Deserialize, Serialize};

/// SHA-256 of a secret that has enough random bits to need no slower hash: what is stored of it, and how it
/// is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Reads back the bytes of a hash.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}
