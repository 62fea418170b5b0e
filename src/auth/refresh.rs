//! Refresh tokens: `docker login` stores one instead of the password. They are accepted at the token endpoint
//! only, while the credential with which they were obtained is valid.

use std::ops::{Bound, ControlFlow};

use super::Auth;
use super::secret::{self, SecretKind};
use super::sign_in_error::SignInError;
use crate::access::{self, Credential, Grant, Principal, System};
use crate::model::names::UserId;
use crate::model::secret::SecretHash;
use crate::store::meta::schema::{self, Refresh};
use crate::store::meta::{Raw, StoreError, Tx, WriteTx};

/// A refresh token expires when it was not used for this long.
const IDLE_MS: u64 = 90 * 24 * 3600 * 1000;
/// How exactly the time of the last use is stored. Without it, a refresh token in use could be removed as the
/// least recently used one.
const NOTED_MS: u64 = 3600 * 1000;
/// The most refresh tokens that one snapshot reads and one transaction removes.
const SLICE: usize = 1_000;

const fn credential(row: &Refresh) -> Credential {
    match row.token {
        Some(token) => Credential::Token(token),
        None => Credential::Password(row.password_version),
    }
}

impl Auth {
    /// Creates a refresh token for a user who signed in with a password or a personal token. A user who has
    /// the permitted number of them loses the least recently used one.
    pub(super) async fn new_refresh(&self, principal: &Principal) -> Result<Option<String>, StoreError> {
        let Principal::User { id, credential, .. } = principal else { return Ok(None) };
        let (token, password_version) = match credential {
            Credential::Password(version) => (None, *version),
            Credential::Token(token) => (Some(*token), 0),
        };
        let secret = SecretKind::Refresh.generate();
        let (hash, user) = (secret::hash(&secret), *id);
        let permitted = self.settings.load().refresh_tokens;
        let made = self.meta.write(move |tx| {
            make_room(tx, user, permitted)?;
            let (used_ms, sequence) = (tx.latest_ms(), tx.next_sequence());
            put(tx, &hash, &Refresh { user, token, password_version, used_ms, sequence })
        });
        match made.await {
            Ok(()) => Ok(Some(secret)),
            // Without a refresh token the client keeps the password, so that pulls still work when the disk
            // is full.
            Err(error) if error.is_refusal() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Authenticates the holder of a refresh token.
    pub(super) async fn redeem(&self, token: &str) -> Result<Principal, SignInError> {
        if !SecretKind::Refresh.recognises(token) {
            return Err(SignInError::Stale);
        }
        let hash = secret::hash(token);
        let now_ms = self.meta.latest_ms();
        let row = self.meta.get(|tx| tx.get(&schema::REFRESH, &hash))?.ok_or(SignInError::Stale)?;
        let idle = now_ms.saturating_sub(row.used_ms);
        let principal =
            if idle <= IDLE_MS { self.user_principal(row.user, credential(&row), None)? } else { None };
        let stale = principal.is_none();
        if stale || idle >= NOTED_MS {
            let noted = self.meta.write(move |tx| {
                // Another request may have recorded the use, or removed the token, meanwhile.
                let Some(row) = remove(tx, &hash)? else { return Ok(()) };
                if stale {
                    return Ok(());
                }
                put(tx, &hash, &Refresh { used_ms: tx.latest_ms(), sequence: tx.next_sequence(), ..row })
            });
            if let Err(error) = noted.await {
                let error: StoreError = error;
                tracing::warn!(%error, "could not record the use of a refresh token");
            }
        }
        principal.ok_or(SignInError::Stale)
    }

    /// Removes refresh tokens that have ended: unused for 90 days, or of a password, token or user that no
    /// longer exists.
    pub async fn expire_refresh_tokens(&self, _: &Grant<System>) -> Result<usize, StoreError> {
        let now_ms = self.meta.latest_ms();
        let (mut last, mut removed): (Option<SecretHash>, usize) = (None, 0);
        loop {
            let from = last.take();
            let Slice { next, ended } =
                self.meta.scan(move |tx| Slice::read(tx, from.as_ref(), now_ms)).await?;
            removed += ended.len();
            if !ended.is_empty() {
                let gone =
                    move |tx: &WriteTx<'_>| ended.iter().try_for_each(|hash| remove(tx, hash).map(drop));
                self.meta.write(gone).await?;
            }
            match next {
                Some(next) => last = Some(next),
                None => return Ok(removed),
            }
        }
    }
}

/// The result of reading a part of the table of refresh tokens.
struct Slice {
    /// The last token that was read; `None` at the end of the table.
    next: Option<SecretHash>,
    /// Tokens that have ended.
    ended: Vec<SecretHash>,
}

impl Slice {
    fn read(tx: &impl Tx, after: Option<&SecretHash>, now_ms: u64) -> Result<Self, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = Vec::new();
        tx.scan_range(&schema::REFRESH, (from, Bound::Unbounded), |hash, row| {
            rows.push((hash, row));
            if rows.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let next = rows.last().filter(|_| rows.len() == SLICE).map(|(hash, _)| *hash);
        let mut ended = Vec::new();
        for (hash, row) in rows {
            let idle = now_ms.saturating_sub(row.used_ms) > IDLE_MS;
            if idle || access::user(tx, row.user, credential(&row), now_ms)?.is_none() {
                ended.push(hash);
            }
        }
        Ok(Self { next, ended })
    }
}

/// Removes the least recently used refresh tokens of a user, so that there is room for one more.
fn make_room(tx: &WriteTx<'_>, user: UserId, permitted: usize) -> Result<(), StoreError> {
    let mut held = Vec::new();
    tx.scan_prefix(&schema::REFRESH_BY_USER, user, |_, hash| {
        held.extend(SecretHash::from_bytes(&hash.0));
        ControlFlow::Continue(())
    })?;
    // The new one comes in addition. If the setting was lowered, this removes the excess as well.
    let too_many = (held.len() + 1).saturating_sub(permitted.max(1));
    for hash in held.iter().take(too_many) {
        remove(tx, hash)?;
    }
    Ok(())
}

fn put(tx: &WriteTx<'_>, hash: &SecretHash, row: &Refresh) -> Result<(), StoreError> {
    tx.put(&schema::REFRESH, hash, row)?;
    tx.put(&schema::REFRESH_BY_USER, (row.user, row.sequence), &Raw(hash.0.to_vec()))
}

fn remove(tx: &WriteTx<'_>, hash: &SecretHash) -> Result<Option<Refresh>, StoreError> {
    let Some(row) = tx.get(&schema::REFRESH, hash)? else { return Ok(None) };
    tx.delete(&schema::REFRESH, hash)?;
    tx.delete(&schema::REFRESH_BY_USER, (row.user, row.sequence))?;
    Ok(Some(row))
}
