//! Events and audit entries, written with the change they tell of.

use crate::access::Caller;
use crate::model::audit::AuditAction;
use crate::model::event::Event;
use crate::model::event::EventKind;
use crate::store::meta::StoreError;
use crate::store::meta::WriteTx;

/// Records an event for the consumers of the outbox, which are told later.
pub(super) fn record(tx: &WriteTx<'_>, caller: &Caller, kind: EventKind) -> Result<(), StoreError> {
    tx.record(Event {
        at: tx.now().wall_ms,
        actor: caller.principal.name().to_owned(),
        address: caller.address_text(),
        kind,
    })
}

/// Writes an entry of the audit log.
pub(super) fn audit(
    tx: &WriteTx<'_>,
    caller: &Caller,
    action: AuditAction,
    target: String,
) -> Result<(), StoreError> {
    tx.audit((caller.principal.name(), &caller.address_text()), action, target)
}
