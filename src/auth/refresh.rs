//! Refresh tokens: what `docker login` keeps instead of a password. They are good at the token endpoint only, for as
//! long as the credential is that they stand for.

use std::ops::{Bound, ControlFlow};

use super::Auth;
use super::grant::{Grant, System};
use super::policy;
use super::principal::{Credential, Principal};
use super::secret;
use super::secret::SecretKind;
use super::sign_in::SignInError;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::Refresh;
use crate::store::meta::tables;

/// A refresh token that nobody used for so long is gone.
const IDLE_MS: u64 = 90 * 24 * 3600 * 1000;
/// How exactly the last use of a refresh token is kept.
const NOTED_MS: u64 = 24 * 3600 * 1000;
/// Refresh tokens that one transaction removes at most.
const SLICE: usize = 10_000;

const fn credential(row: &Refresh) -> Credential {
    match row.token {
        Some(token) => Credential::Token(token),
        None => Credential::Password(row.password_version),
    }
}

impl Auth {
    /// Makes a refresh token for somebody who signed in with a password or a personal token.
    pub(super) async fn new_refresh(&self, principal: &Principal) -> Result<Option<String>, StoreError> {
        let Principal::User { id, credential, .. } = principal else { return Ok(None) };
        let (token, password_version) = match credential {
            Credential::Password(version) => (None, *version),
            Credential::Token(token) => (Some(*token), 0),
        };
        let secret = SecretKind::Refresh.generate();
        let (hash, user) = (secret::hash(&secret), *id);
        let made = self.meta.write(move |tx| {
            let row = Refresh { user, token, password_version, used_ms: tx.now().wall_ms };
            tx.put(&tables::REFRESH, &hash[..], &row)
        });
        match made.await {
            Ok(()) => Ok(Some(secret)),
            // Without a refresh token the client keeps the password, and pulls go on although the disk is full.
            Err(error) if error.is_refusal() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Recognises the holder of a refresh token.
    pub(super) async fn redeem(&self, token: &str) -> Result<Principal, SignInError> {
        if !SecretKind::Refresh.recognises(token) {
            return Err(SignInError::Token);
        }
        let hash = secret::hash(token);
        let wall_ms = self.meta.clock().now().wall_ms;
        let row = self.meta.get(|tx| tx.get(&tables::REFRESH, &hash[..]))?.ok_or(SignInError::Token)?;
        let idle = wall_ms.saturating_sub(row.used_ms);
        let principal = if idle <= IDLE_MS {
            self.user_principal(row.user, credential(&row), wall_ms, None)?
        } else {
            None
        };
        let stale = principal.is_none();
        if stale || idle >= NOTED_MS {
            let noted = self.meta.write(move |tx| {
                if stale {
                    return tx.delete(&tables::REFRESH, &hash[..]).map(drop);
                }
                tx.put(&tables::REFRESH, &hash[..], &Refresh { used_ms: wall_ms, ..row.clone() })
            });
            if let Err(error) = noted.await {
                tracing::warn!(%error, "the use of a refresh token was not noted");
            }
        }
        principal.ok_or(SignInError::Token)
    }

    /// Removes the refresh tokens that are good for nothing any more: unused for 90 days, or of a password, a token or
    /// a user that is gone.
    pub async fn expire_refresh_tokens(&self, _: &Grant<System>) -> Result<usize, StoreError> {
        let wall_ms = self.meta.clock().now().wall_ms;
        let ended = self.meta.scan(move |tx| {
            let mut ended = Vec::new();
            let mut result = Ok(());
            tx.scan(&tables::REFRESH, Bound::Unbounded, Bound::Unbounded, |hash, row| {
                let idle = wall_ms.saturating_sub(row.used_ms) > IDLE_MS;
                match policy::user(tx, row.user, credential(&row), wall_ms) {
                    Ok(user) if idle || user.is_none() => ended.push(hash.to_vec()),
                    Ok(_) => {}
                    Err(error) => result = Err(error),
                }
                if result.is_ok() && ended.len() < SLICE {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            result.map(|()| ended)
        });
        let ended = ended.await?;
        let removed = ended.len();
        if removed > 0 {
            let remove = move |tx: &WriteTx<'_>| {
                ended.iter().try_for_each(|hash| tx.delete(&tables::REFRESH, &hash[..]).map(drop))
            };
            self.meta.write(remove).await?;
        }
        Ok(removed)
    }
}
