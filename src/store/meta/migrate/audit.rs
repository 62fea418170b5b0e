//! The migration to format 5: every entry of the audit log is chained to the previous one.

use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};

use crate::model::names::Sequence;
use crate::store::meta::error::StoreError;
use crate::store::meta::read::Tx as _;
use crate::store::meta::schema::{self, AuditEntry, CHAIN_ANCHOR, CHAIN_HEAD, ChainEnd};
use crate::store::meta::table::{Raw, Record, Row as _};
use crate::store::meta::tx::WriteTx;

/// Entries in one commit.
pub(super) const SLICE: usize = 1_000;

/// An entry in format 4.
#[derive(Serialize, Deserialize)]
pub(in crate::store::meta) struct Unchained {
    pub(in crate::store::meta) at_ms: u64,
    pub(in crate::store::meta) actor: String,
    pub(in crate::store::meta) address: String,
    pub(in crate::store::meta) action: String,
    pub(in crate::store::meta) target: String,
}

impl Record for Unchained {}

/// Chains the entries after the one that the cursor names.
pub(super) fn slice(tx: &WriteTx<'_>, cursor: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let corrupt = StoreError::Corrupt { table: schema::MIGRATION.name() };
    let (from, mut head) = if cursor.is_empty() {
        tx.put(&schema::AUDIT_CHAIN, CHAIN_ANCHOR, &ChainEnd::START)?;
        (Bound::Unbounded, ChainEnd::START)
    } else {
        let last = cursor.try_into().map(u64::from_be_bytes).map_err(|_| corrupt.clone())?;
        let head = tx.get(&schema::AUDIT_CHAIN, CHAIN_HEAD)?.ok_or(corrupt)?;
        (Bound::Excluded(Sequence(last)), head)
    };
    let mut rows = Vec::new();
    tx.scan_range(&schema::AUDIT.raw(), (from, Bound::Unbounded), |sequence, Raw(row)| {
        rows.push((sequence, Unchained::decode(&row)));
        if rows.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let next = rows.last().filter(|_| rows.len() == SLICE).map(|(last, _)| last.0.to_be_bytes().to_vec());
    for (sequence, row) in rows {
        // A row that cannot be decoded stays as it is, outside of the chain: a check reports it.
        let Some(Unchained { at_ms, actor, address, action, target }) = row else { continue };
        let mut entry = AuditEntry { at_ms, actor, address, action, target, hash: [0; 32] };
        entry.hash = entry.link(&head.hash, sequence);
        head = ChainEnd { sequence, hash: entry.hash };
        tx.put(&schema::AUDIT, sequence, &entry)?;
    }
    tx.put(&schema::AUDIT_CHAIN, CHAIN_HEAD, &head)?;
    Ok(next)
}
