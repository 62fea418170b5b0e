//! The migration to format 6: links say whether the promise of their upload is fulfilled.

use serde::{Deserialize, Serialize};

use super::slice_of;
use crate::model::time::RunningSecond;
use crate::store::meta::error::StoreError;
use crate::store::meta::schema::{self, Link};
use crate::store::meta::table::{Record, Row as _};
use crate::store::meta::tx::WriteTx;

/// A link in format 5.
#[derive(Serialize, Deserialize)]
pub(in crate::store::meta) struct LinkOf5 {
    pub(in crate::store::meta) present: bool,
    pub(in crate::store::meta) references: u64,
    pub(in crate::store::meta) trash_references: u64,
    pub(in crate::store::meta) hidden: bool,
    pub(in crate::store::meta) zero_since: RunningSecond,
    pub(in crate::store::meta) said: Option<u64>,
}

impl Record for LinkOf5 {}

/// Rewrites the links after the one that the cursor names: repository, then digest, as in the keys.
pub(super) fn slice(tx: &WriteTx<'_>, cursor: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let table = schema::LINK.raw_keys();
    let (rows, next) = slice_of(tx, &table, cursor)?;
    for ((repository, digest), row) in rows {
        // A row that cannot be decoded stays as it is: a check reports it.
        let Some(link) = LinkOf5::decode(&row) else { continue };
        let LinkOf5 { present, references, trash_references, hidden, zero_since, said } = link;
        // Nothing tells whether a manifest has named the blob. With `fresh`, the promise of its upload holds.
        let fresh = present && references == 0;
        let link = Link { present, references, trash_references, hidden, zero_since, said, fresh };
        tx.put(&table, (repository, &digest[..]), &link)?;
    }
    Ok(next)
}
