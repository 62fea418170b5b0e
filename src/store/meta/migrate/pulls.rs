//! The migration to format 6: pulls have the running second of the last one.

use serde::{Deserialize, Serialize};

use super::slice_of;
use crate::model::time::RunningSecond;
use crate::store::meta::error::StoreError;
use crate::store::meta::read::Tx as _;
use crate::store::meta::schema::{self, Collection, Pulls};
use crate::store::meta::table::{Record, Row as _};
use crate::store::meta::tx::WriteTx;

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
    let (rows, next) = slice_of(tx, &table, cursor)?;
    for ((repository, digest), row) in rows {
        // A damaged row is replaced by the next pull.
        let Some(PullsOf5 { count, last_ms }) = PullsOf5::decode(&row) else { continue };
        // When that was in running time is not known; counted from now, nothing goes too early.
        let pulls = Pulls { count, last_ms, last: RunningSecond(clock.running_s) };
        tx.put(&table, (repository, &digest[..]), &pulls)?;
    }
    Ok(next)
}
