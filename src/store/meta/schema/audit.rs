//! The audit log, and its chain of hashes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::names::Sequence;
use crate::store::meta::table::{Record, Table};

/// sequence -> one entry of the audit log.
pub const AUDIT: Table<Sequence, AuditEntry> = Table::new("audit");

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The name of the actor.
    pub actor: String,
    /// From which address; empty for the server itself.
    pub address: String,
    /// The action, e.g. `tag.delete`.
    pub action: String,
    /// Its target, e.g. `library/alpine:3.22`.
    pub target: String,
    /// [`AuditEntry::link`] with the entry before.
    pub hash: [u8; 32],
}

impl Record for AuditEntry {
    const VERSION: u8 = 2;
}

impl AuditEntry {
    /// SHA-256 over: the hash of the previous entry; the entry's sequence and time (8 bytes each,
    /// big-endian); and actor, address, action and target, each preceded by its length in bytes (8 bytes,
    /// big-endian).
    pub fn link(&self, previous: &[u8; 32], sequence: Sequence) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(previous);
        hash.update(sequence.0.to_be_bytes());
        hash.update(self.at_ms.to_be_bytes());
        for text in [&self.actor, &self.address, &self.action, &self.target] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

/// [`CHAIN_HEAD`] and [`CHAIN_ANCHOR`] -> the newest entry of the audit log, and the newest entry that was
/// pruned.
pub const AUDIT_CHAIN: Table<&'static str, ChainEnd> = Table::new("audit_chain");

/// The key of the newest entry.
pub const CHAIN_HEAD: &str = "head";
/// The key of the newest entry that was pruned: the oldest remaining entry is chained to it.
pub const CHAIN_ANCHOR: &str = "anchor";

/// An end of the chain of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainEnd {
    /// The sequence of the entry.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: [u8; 32],
}

impl ChainEnd {
    /// The anchor before the first entry: no entry, and a hash of zeros.
    pub const START: Self = Self { sequence: Sequence(0), hash: [0; 32] };
}

impl Record for ChainEnd {}
