//! The audit log: entries written with the change that they tell of.

use super::error::StoreError;
use super::schema;
use super::schema::AuditEntry;
use super::tx::WriteTx;
use crate::model::audit::AuditAction;

impl WriteTx<'_> {
    /// Writes an entry of the audit log: who did it from which address (none for the server itself), and to what.
    pub fn audit(
        &self,
        (actor, address): (&str, &str),
        action: AuditAction,
        target: String,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at_ms: self.now().wall_ms,
            actor: actor.to_owned(),
            address: address.to_owned(),
            action: action.as_str().to_owned(),
            target,
        };
        self.put(&schema::AUDIT, self.next_sequence(), &entry)
    }
}
