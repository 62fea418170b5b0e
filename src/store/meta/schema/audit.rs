//! The audit log.

use serde::{Deserialize, Serialize};

use crate::model::names::Sequence;
use crate::store::meta::table::{Record, Table};

/// sequence -> one entry of the audit log.
pub const AUDIT: Table<Sequence, AuditEntry> = Table::new("audit");

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// Who.
    pub actor: String,
    /// From which address; empty for the server itself.
    pub address: String,
    /// What was done, e.g. `tag.delete`.
    pub action: String,
    /// To what, e.g. `library/alpine:3.22`.
    pub target: String,
}

impl Record for AuditEntry {}
