//! The migration to format 6: links say whether the promise of their upload is fulfilled.

use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};

use crate::model::time::RunningSecond;
use crate::store::meta::error::StoreError;
use crate::store::meta::read::Tx as _;
use crate::store::meta::schema::{self, Link};
use crate::store::meta::table::{Raw, Record, Row as _};
use crate::store::meta::tx::WriteTx;

/// Links in one commit.
pub(super) const SLICE: usize = 1_000;

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
