//! Entries of the audit log that were changed, removed or inserted.

use super::*;
use crate::model::audit::{Actor, AuditAction};
use crate::store::meta::schema::{CHAIN_ANCHOR, CHAIN_HEAD};

fn newest_entry(tx: &WriteTx<'_>) -> Result<(Sequence, AuditEntry), StoreError> {
    let mut newest = None;
    tx.scan_all(&schema::AUDIT, |sequence, row| {
        newest = Some((sequence, row));
        ControlFlow::Continue(())
    })?;
    Ok(newest.expect("the sample has audit entries"))
}

#[test]
fn entries_of_the_audit_log_that_were_changed_removed_or_inserted_are_found() {
    assert_found(&[
        ("audit_chain", |tx, _, _| {
            let (sequence, mut row) = newest_entry(tx)?;
            row.target = "something else".to_owned();
            tx.put(&schema::AUDIT, sequence, &row)
        }),
        ("audit_chain", |tx, _, _| {
            let (sequence, row) = newest_entry(tx)?;
            tx.audit(Actor::SYSTEM, AuditAction::TagDelete, row.target)?;
            delete(tx.delete(&schema::AUDIT, sequence))
        }),
        ("audit_chain", |tx, _, _| {
            let (sequence, _) = newest_entry(tx)?;
            delete(tx.delete(&schema::AUDIT, sequence))
        }),
        ("audit_chain", |tx, _, _| {
            let (sequence, row) = newest_entry(tx)?;
            tx.put(&schema::AUDIT, Sequence(sequence.0 - 1), &row)
        }),
        ("audit_chain", |tx, _, _| {
            // An entry with a correct hash that replaces all others does not continue the anchor's hash.
            tx.audit(Actor::SYSTEM, AuditAction::TagDelete, "second".to_owned())?;
            tx.prune_audit(1)?;
            let (sequence, mut row) = newest_entry(tx)?;
            row.hash = row.link(&[0; 32], sequence);
            tx.put(&schema::AUDIT, sequence, &row)
        }),
        ("audit_chain", |tx, _, _| delete(tx.delete(&schema::AUDIT_CHAIN, CHAIN_HEAD))),
        ("audit_chain", |tx, _, _| delete(tx.delete(&schema::AUDIT_CHAIN, CHAIN_ANCHOR))),
        ("row_unreadable", |tx, _, _| tx.put(&schema::AUDIT_CHAIN.raw(), CHAIN_HEAD, &Raw(vec![9]))),
    ]);
}
