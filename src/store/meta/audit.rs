//! The audit log: entries written in the transaction of the change that they record, each chained to the
//! previous one.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::read::Tx as _;
use super::schema::{self, AuditEntry, CHAIN_ANCHOR, CHAIN_HEAD, ChainEnd};
use super::table::{Raw, Row as _};
use super::tx::WriteTx;
use crate::model::audit::{Actor, AuditAction};

impl WriteTx<'_> {
    /// Writes an entry of the audit log: who did what, and to what.
    pub fn audit(&self, actor: Actor<'_>, action: AuditAction, target: String) -> Result<(), StoreError> {
        // A new chain would hide that the end of the old one was removed.
        let missing = StoreError::Corrupt { table: schema::AUDIT_CHAIN.name() };
        let head = self.get(&schema::AUDIT_CHAIN, CHAIN_HEAD)?.ok_or(missing)?;
        let sequence = self.next_sequence();
        let mut entry = AuditEntry {
            at_ms: self.now().wall_ms,
            actor: actor.name.to_owned(),
            address: actor.address_text(),
            action: action.as_str().to_owned(),
            target,
            hash: [0; 32],
        };
        entry.hash = entry.link(&head.hash, sequence);
        self.put(&schema::AUDIT, sequence, &entry)?;
        self.put(&schema::AUDIT_CHAIN, CHAIN_HEAD, &ChainEnd { sequence, hash: entry.hash })
    }

    /// Removes the oldest entries of the audit log, at most `most` of them, and sets the anchor to the last
    /// of those. Returns the number removed.
    pub fn prune_audit(&self, most: usize) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut oldest = Vec::new();
        let mut anchor = None;
        if most > 0 {
            self.scan_all(&schema::AUDIT.raw(), |sequence, Raw(row)| {
                oldest.push(sequence);
                // A damaged row must not prevent pruning. It broke the chain before, and an anchor without
                // its hash does so too.
                let hash = AuditEntry::decode(&row).map_or([0; 32], |entry| entry.hash);
                anchor = Some(ChainEnd { sequence, hash });
                if oldest.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        for sequence in oldest {
            self.delete(&schema::AUDIT, sequence)?;
            removed += 1;
        }
        if let Some(anchor) = anchor {
            self.put(&schema::AUDIT_CHAIN, CHAIN_ANCHOR, &anchor)?;
        }
        Ok(removed)
    }
}
