//! Events that wait for their consumers.

use serde::{Deserialize, Serialize};

use crate::model::event::Event;
use crate::model::names::Sequence;
use crate::store::meta::table::{Record, Table};

/// sequence -> an event that waits for its consumers.
pub const OUTBOX: Table<Sequence, OutboxEntry> = Table::new("outbox");

/// An event that waits for its consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry(pub Event);

impl Record for OutboxEntry {}

/// consumer -> the last sequence that it has seen.
pub const OUTBOX_CURSOR: Table<&'static str, Sequence> = Table::new("outbox_cursor");
