//! The outbox: events written in the transaction of the change that they report, and kept until every
//! consumer has seen them.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::read::Tx as _;
use super::schema::{self, OutboxEntry};
use super::tx::WriteTx;
use crate::model::audit::Actor;
use crate::model::event::{Event, EventKind};
use crate::model::names::Sequence;

const MAX_ROWS: u64 = 100_000;
const MAX_AGE_MS: u64 = 7 * 24 * 3600 * 1000;
/// The most rows that one write removes: more than it adds, so that the outbox shrinks to its bounds.
const TRIM_AT_ONCE: usize = 4;

impl WriteTx<'_> {
    /// Records an event, and removes a few that all consumers have seen or that are too old.
    pub fn record(&self, actor: Actor<'_>, kind: EventKind) -> Result<(), StoreError> {
        let (actor, address) = (actor.name.to_owned(), actor.address_text());
        let event = Event { at: self.now().wall_ms, actor, address, kind };
        self.put(&schema::OUTBOX, self.next_sequence(), &OutboxEntry(event))?;
        let mut rows = self.clock().outbox_rows + 1;
        for sequence in self.trimmable(rows)? {
            self.delete(&schema::OUTBOX, sequence)?;
            rows -= 1;
        }
        self.set_outbox_rows(rows);
        Ok(())
    }

    fn trimmable(&self, rows: u64) -> Result<Vec<Sequence>, StoreError> {
        let mut seen_by_all: Option<Sequence> = None;
        self.scan_all(&schema::OUTBOX_CURSOR, |_, seen| {
            seen_by_all = Some(seen_by_all.map_or(seen, |lowest| lowest.min(seen)));
            ControlFlow::Continue(())
        })?;
        let too_many = usize::try_from(rows.saturating_sub(MAX_ROWS)).unwrap_or(usize::MAX);
        let oldest_kept = self.now().wall_ms.saturating_sub(MAX_AGE_MS);
        let mut old = Vec::new();
        self.scan_all(&schema::OUTBOX, |sequence, OutboxEntry(event)| {
            let useless = old.len() < too_many
                || event.at < oldest_kept
                || seen_by_all.is_some_and(|seen| sequence <= seen);
            if useless && old.len() < TRIM_AT_ONCE {
                old.push(sequence);
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(old)
    }
}
