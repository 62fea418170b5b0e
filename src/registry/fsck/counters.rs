//! The counters of the store, the users, and the rows that nothing else depends on.

use super::check::Check;
use super::place::Place;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::rows::Clock;
use crate::store::meta::tables;

/// No number that was given out is given out again, and every row can be read.
pub(super) fn counters(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&tables::OUTBOX)?;
    check.expect(&tables::AUDIT)?;
    check.expect(&tables::USER)?;
    check.rows(&tables::OUTBOX, |check, _, sequence, _| {
        check.last_sequence = check.last_sequence.max(sequence);
        Ok(())
    })?;
    check.rows(&tables::OUTBOX_CURSOR, |check, _, _, sequence| {
        check.last_sequence = check.last_sequence.max(sequence);
        Ok(())
    })?;
    check.rows(&tables::AUDIT, |check, _, sequence, _| {
        check.last_sequence = check.last_sequence.max(sequence);
        Ok(())
    })?;
    check.rows(&tables::AUTH_EPOCH, |_, _, (), _| Ok(()))?;
    users(check)?;
    let mut clock = Clock::default();
    let mut events = 0;
    check.rows(&tables::CLOCK, |_, tx, (), row| {
        (clock, events) = (row, tx.count(&tables::OUTBOX)?);
        Ok(())
    })?;
    if clock.sequence < check.last_sequence {
        let expected = format!("a last sequence number of at least {}", check.last_sequence);
        check.damage("clock", Place::STORE, expected, clock.sequence);
    }
    if clock.last_id < check.last_id {
        check.damage(
            "clock",
            Place::STORE,
            format!("a last id of at least {}", check.last_id),
            clock.last_id,
        );
    }
    if clock.outbox_rows != events {
        check.inconsistency(
            "outbox",
            Place::STORE,
            format!("{events} events"),
            format!("{} counted", clock.outbox_rows),
        );
    }
    Ok(())
}

fn users(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.rows(&tables::USER, |check, tx, id, row| {
        check.last_id = check.last_id.max(id);
        if tx.get(&tables::USER_NAME, row.name.as_str())? != Some(id) {
            let expected = format!("the name `{}` leads to user {id}", row.name);
            check.inconsistency("user_name", Place::STORE, expected, "it does not");
        }
        Ok(())
    })?;
    check.rows(&tables::USER_NAME, |check, tx, name, id| {
        if tx.get(&tables::USER, id)?.is_none_or(|row| row.name != name) {
            check.inconsistency(
                "user_name",
                Place::STORE,
                format!("user {id} has the name `{name}`"),
                "it has not",
            );
        }
        Ok(())
    })
}
