//! The audit log: entries written with the change that they tell of.

use super::error::StoreError;
use super::schema;
use super::schema::AuditEntry;
use super::tx::WriteTx;
use crate::model::audit::{Actor, AuditAction};

impl WriteTx<'_> {
    /// Writes an entry of the audit log: who did what, and to what.
    pub fn audit(&self, actor: Actor<'_>, action: AuditAction, target: String) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at_ms: self.now().wall_ms,
            actor: actor.name.to_owned(),
            address: actor.address_text(),
            action: action.as_str().to_owned(),
            target,
        };
        self.put(&schema::AUDIT, self.next_sequence(), &entry)
    }
}
