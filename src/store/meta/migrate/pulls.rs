//! The migration to format 6: pulls have the running second of the last one.

use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};

use crate::model::time::RunningSecond;
use crate::store::meta::error::StoreError;
use crate::store::meta::read::Tx as _;
use crate::store::meta::schema::{self, Collection, Pulls};
use crate::store::meta::table::{Raw, Record, Row as _};
use crate::store::meta::tx::WriteTx;

/// Rows in one commit.
const SLICE: usize = 1_000;

/// Pulls in format 5.
#[derive(Serialize, Deserialize)]
pub(in crate::store::meta) struct PullsOf5 {
    pub(in crate::store::meta) count: u64,
    pub(in crate::store::meta) last_ms: u64,
}

impl Record for PullsOf5 {}

/// Rewrites the rows after the one that the cursor names: repository, then digest, as in the keys.
pub(super) fn slice(tx: &WriteTx<'_>, cursor: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    // An admin sees what would be deleted before the first run of a migrated store deletes it.
    tx.put(&schema::COLLECTION, (), &Collection { untagged: false })?;
    let clock = tx.get(&schema::CLOCK, ())?.ok_or(StoreError::Corrupt { table: schema::CLOCK.name() })?;
    let table = schema::PULLS.raw_keys();
    let from = match cursor.split_first_chunk::<8>() {
        Some((repository, digest)) => Bound::Excluded((u64::from_be_bytes(*repository), digest)),
        None => Bound::Unbounded,
    };
    let mut rows = Vec::new();
    tx.scan_range(&table.raw(), (from, Bound::Unbounded), |(repository, digest), Raw(row)| {
        rows.push(((repository, digest.to_vec()), row));
        if rows.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let next = rows.last().filter(|_| rows.len() == SLICE).map(|((repository, digest), _)| {
        let mut cursor = repository.to_be_bytes().to_vec();
        cursor.extend_from_slice(digest);
        cursor
    });
    for ((repository, digest), row) in rows {
        // A damaged row is replaced by the next pull.
        let Some(PullsOf5 { count, last_ms }) = PullsOf5::decode(&row) else { continue };
        // When that was in running time is not known; counted from now, nothing goes too early.
        let pulls = Pulls { count, last_ms, last: RunningSecond(clock.running_s) };
        tx.put(&table, (repository, &digest[..]), &pulls)?;
    }
    Ok(next)
}
