//! The audit log: its chain of hashes, from the newest entry that was removed to the newest one.

use super::check::Check;
use super::place::Place;
use crate::model::names::Sequence;
use crate::store::meta::schema::{self, CHAIN_ANCHOR, CHAIN_HEAD, ChainEnd};
use crate::store::meta::{StoreError, Tx as _};

/// Checks that every entry is chained to the one before it, and that none is missing at either end.
pub(super) fn log(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::AUDIT)?;
    let anchor = end(check, CHAIN_ANCHOR)?;
    let mut last = anchor.unwrap_or(ChainEnd::START);
    check.rows(&schema::AUDIT, |check, _, sequence, row| {
        check.last_sequence = check.last_sequence.max(sequence);
        let sequence = Sequence(sequence);
        if sequence <= last.sequence || row.link(&last.hash, sequence) != row.hash {
            let expected = format!("entry {sequence} of the audit log follows entry {}", last.sequence);
            check.damage("audit_chain", Place::STORE, expected, "an entry was changed, removed or inserted");
        }
        // One break is reported once: the next entries are compared with the stored hash.
        last = ChainEnd { sequence, hash: row.hash };
        Ok(())
    })?;
    if check.is_ended() {
        return Ok(());
    }
    let head = end(check, CHAIN_HEAD)?;
    if let Some(head) = head.filter(|head| *head != last) {
        let expected = format!("the audit log ends with entry {}", head.sequence);
        check.damage("audit_chain", Place::STORE, expected, format!("it ends with entry {}", last.sequence));
    }
    Ok(())
}

/// An end of the chain; its absence is reported.
fn end(check: &mut Check<'_>, name: &'static str) -> Result<Option<ChainEnd>, StoreError> {
    let found = check.meta.read(|tx| tx.get(&schema::AUDIT_CHAIN, name));
    match found {
        Ok(Some(end)) => Ok(Some(end)),
        Ok(None) => {
            check.damage(
                "audit_chain",
                Place::STORE,
                format!("the chain of the audit log has its {name}"),
                "it has not",
            );
            Ok(None)
        }
        Err(StoreError::Corrupt { table }) if table == schema::AUDIT_CHAIN.name() => {
            check.damage(
                "row_unreadable",
                Place::STORE,
                format!("a row of the table {table}"),
                "other bytes",
            );
            Ok(None)
        }
        Err(other) => Err(other),
    }
}
