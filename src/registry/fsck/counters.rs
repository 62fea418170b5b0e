//! The counters of the store, the users, and rows on which nothing else depends.

use super::check::Check;
use super::place::Place;
use crate::model::names::{TokenId, UserId};
use crate::model::units::counted;
use crate::store::meta::schema::{self, Clock};
use crate::store::meta::{StoreError, Tx as _};

/// Checks that no number in use would be given out again, and that every row can be read.
pub(super) fn counters(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.expect(&schema::OUTBOX)?;
    check.expect(&schema::USER)?;
    check.rows(&schema::OUTBOX, |check, _, sequence, _| {
        check.last_sequence = check.last_sequence.max(sequence);
        Ok(())
    })?;
    check.rows(&schema::OUTBOX_CURSOR, |check, _, _, sequence| {
        check.last_sequence = check.last_sequence.max(sequence.0);
        Ok(())
    })?;
    check.rows(&schema::AUTH_EPOCH, |_, _, (), _| Ok(()))?;
    users(check)?;
    let last_token = tokens(check)?;
    let mut clock = Clock::default();
    let mut events = 0;
    check.rows(&schema::CLOCK, |_, tx, (), row| {
        (clock, events) = (row, tx.count(&schema::OUTBOX)?);
        Ok(())
    })?;
    if clock.sequence.0 < check.last_sequence {
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
    if clock.last_token.0 < last_token {
        let expected = format!("a last token number of at least {last_token}");
        check.damage("clock", Place::STORE, expected, clock.last_token);
    }
    if clock.outbox_rows != events {
        check.inconsistency(
            "outbox",
            Place::STORE,
            counted(events, "event", "events"),
            format!("{} counted", clock.outbox_rows),
        );
    }
    Ok(())
}

/// The case-folded name by which a user is looked up.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn users(check: &mut Check<'_>) -> Result<(), StoreError> {
    check.rows(&schema::USER, |check, tx, id, row| {
        check.last_id = check.last_id.max(id);
        if tx.get(&schema::USER_NAME, folded(&row.name).as_str())? != Some(UserId(id)) {
            let expected = format!("the name `{}` leads to user {id}", row.name);
            check.inconsistency("user_name", Place::STORE, expected, "it does not");
        }
        Ok(())
    })?;
    check.rows(&schema::USER_NAME, |check, tx, name, id| {
        if tx.get(&schema::USER, id)?.is_none_or(|row| folded(&row.name) != name) {
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

/// Checks that every personal token is found by its secret and its user, that every refresh token is found by
/// its user, and that the indexes have no other rows. Returns the highest number of a token.
fn tokens(check: &mut Check<'_>) -> Result<u64, StoreError> {
    let mut last = 0;
    check.rows(&schema::TOKEN, |check, tx, id, row| {
        last = last.max(id);
        if tx.get(&schema::TOKEN_HASH, &row.hash)? != Some(TokenId(id)) {
            check.inconsistency(
                "token_hash",
                Place::STORE,
                format!("the secret of token {id} leads to it"),
                "it does not",
            );
        }
        if !tx.has(&schema::TOKEN_BY_USER, (row.user, TokenId(id)))? || !tx.has(&schema::USER, row.user)? {
            let expected = format!("token {id} is listed with its user {}", row.user);
            check.inconsistency("token_by_user", Place::STORE, expected, "it is not");
        }
        Ok(())
    })?;
    check.rows(&schema::TOKEN_HASH, |check, tx, hash, id| {
        if tx.get(&schema::TOKEN, id)?.is_none_or(|row| row.hash.0 != *hash) {
            check.inconsistency(
                "token_hash",
                Place::STORE,
                format!("token {id} has this secret"),
                "it has not",
            );
        }
        Ok(())
    })?;
    check.rows(&schema::TOKEN_BY_USER, |check, tx, (user, id), ()| {
        if tx.get(&schema::TOKEN.raw_keys(), id)?.is_none_or(|row| row.user.0 != user) {
            check.inconsistency(
                "token_by_user",
                Place::STORE,
                format!("token {id} is of user {user}"),
                "it is not",
            );
        }
        Ok(())
    })?;
    check.rows(&schema::REFRESH, |check, tx, hash, row| {
        let listed = tx.get(&schema::REFRESH_BY_USER, (row.user, row.sequence))?;
        check.last_sequence = check.last_sequence.max(row.sequence.0);
        if listed.is_none_or(|listed| listed.0 != *hash) {
            let expected = format!("a refresh token of user {} is listed", row.user);
            check.inconsistency("refresh_by_user", Place::STORE, expected, "it is not");
        }
        Ok(())
    })?;
    check.rows(&schema::REFRESH_BY_USER, |check, tx, (user, sequence), hash| {
        let row = tx.get(&schema::REFRESH.raw_keys(), &hash.0[..])?;
        if row.is_none_or(|row| row.user.0 != user || row.sequence.0 != sequence) {
            let expected = format!("a refresh token of user {user} that was used at {sequence}");
            check.inconsistency("refresh_by_user", Place::STORE, expected, "there is none");
        }
        Ok(())
    })?;
    Ok(last)
}
