//! Recognising callers: passwords, personal tokens, registry tokens.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Auth;
use super::access::Access;
use super::credentials::{Basic, Header};
use super::policy;
use super::policy::Policy;
use super::principal::{Credential, Principal};
use super::scopes::Scopes;
use super::secret;
use super::secret::SecretKind;
use crate::model::names::UserId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::tables;

/// How long a password that was verified is believed without hashing it again.
const REMEMBER_MS: u64 = 5 * 60 * 1000;
/// How exactly the last use of a token is kept.
const LAST_USED_MS: u64 = 60 * 60 * 1000;

/// Why somebody was not recognised.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Nothing was sent.
    #[error("sign in first: docker login")]
    Missing,
    /// The header is not one that this registry understands.
    #[error(
        "the Authorization header is neither `Basic` with a base64 of name:password nor `Bearer` with a token"
    )]
    Malformed,
    /// The name or the password is wrong, or the user is disabled.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// The registry token is not ours, has expired, or its owner's rights have ended.
    #[error("the registry token is not valid any more; get a new one from the token endpoint")]
    Token,
    /// Too many wrong tries, or too many sign-ins at once.
    #[error("too many wrong sign-ins; try again in {0} seconds")]
    Busy(u64),
    /// The store could not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How late a registry token may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// Not at all.
    Never,
    /// As late as an upload may be idle: a push that began with a valid token finishes (decision 15).
    Upload,
}

impl Auth {
    /// Recognises the sender of an `Authorization` header.
    pub async fn authenticate(
        &self,
        header: Option<&str>,
        address: Option<IpAddr>,
        lateness: Lateness,
    ) -> Result<Principal, SignInError> {
        if self.policy == Policy::Open {
            return Ok(Principal::Anybody);
        }
        let header = header.ok_or(SignInError::Missing)?;
        let wall_ms = self.meta.clock().now().wall_ms;
        let key = self.cache.key(header, self.epoch.load(Ordering::Acquire));
        if let Some(principal) = self.cache.get(&key, wall_ms) {
            return Ok(principal);
        }
        match Header::parse(header).ok_or(SignInError::Malformed)? {
            Header::Bearer(token) => {
                let (principal, expires_ms) = self.bearer(token, wall_ms, lateness)?;
                if wall_ms < expires_ms {
                    self.cache.put(key, principal.clone(), expires_ms);
                }
                Ok(principal)
            }
            Header::Basic(basic) => {
                let (principal, until_ms) = self.basic(basic, address).await?;
                self.cache.put(key, principal.clone(), until_ms);
                Ok(principal)
            }
        }
    }

    fn bearer(&self, token: &str, wall_ms: u64, lateness: Lateness) -> Result<(Principal, u64), SignInError> {
        let late_s = if lateness == Lateness::Upload { self.settings.upload_idle_s } else { 0 };
        let claims =
            self.signer.verify(token, super::SERVICE, wall_ms / 1000, late_s).ok_or(SignInError::Token)?;
        let expires_ms = claims.exp.saturating_mul(1000);
        let access = Arc::new(Access(claims.access));
        if claims.uid == 0 {
            return Ok((Principal::Anonymous { access }, expires_ms));
        }
        let credential = match claims.tid {
            0 => Credential::Password(claims.pwv),
            token => Credential::Token(token),
        };
        let principal = self.user_principal(UserId(claims.uid), credential, wall_ms, Some(&access))?;
        Ok((principal.ok_or(SignInError::Token)?, expires_ms))
    }

    /// The user behind a credential, if both are still good.
    pub(super) fn user_principal(
        &self,
        id: UserId,
        credential: Credential,
        wall_ms: u64,
        access: Option<&Arc<Access>>,
    ) -> Result<Option<Principal>, StoreError> {
        self.meta.get(|tx| {
            let Some(user) = policy::user(tx, id, credential, wall_ms)? else { return Ok(None) };
            let scopes = match credential {
                Credential::Password(_) => Scopes::ALL,
                Credential::Token(token) => tx
                    .get(&tables::TOKEN, token)?
                    .map_or(Scopes::from_bits(0), |token| Scopes::from_bits(token.scopes)),
            };
            let name = Arc::from(user.name);
            Ok(Some(Principal::User { id, name, credential, scopes, access: access.cloned() }))
        })
    }

    /// Recognises a name with a password or a personal token, and until when that is believed.
    pub(super) async fn basic(
        &self,
        basic: Basic,
        address: Option<IpAddr>,
    ) -> Result<(Principal, u64), SignInError> {
        let wall_ms = self.meta.clock().now().wall_ms;
        if let Some(wait) = self.buckets.wait(address, &basic.name, Instant::now()) {
            return Err(SignInError::Busy(wait.as_secs().max(1)));
        }
        let remember_ms = wall_ms + REMEMBER_MS;
        let found = if SecretKind::Personal.recognises(&basic.password) {
            self.personal(&basic.password, wall_ms, address).await?
        } else {
            self.password(&basic, wall_ms).await?.map(|principal| (principal, u64::MAX))
        };
        if found.is_none() {
            self.buckets.wrong(address, &basic.name, Instant::now());
        }
        found
            .map(|(principal, expires_ms)| (principal, remember_ms.min(expires_ms)))
            .ok_or(SignInError::Wrong)
    }

    async fn password(&self, basic: &Basic, wall_ms: u64) -> Result<Option<Principal>, SignInError> {
        let user = self.meta.get(|tx| {
            let Some(id) = tx.get(&tables::USER_NAME, basic.name.as_str())? else { return Ok(None) };
            Ok::<_, StoreError>(tx.get(&tables::USER, id)?.map(|user| (UserId(id), user)))
        })?;
        let stored =
            user.as_ref().filter(|(_, user)| !user.disabled).map(|(_, user)| user.password_hash.clone());
        let right =
            self.passwords.verify(stored, basic.password.clone()).await.map_err(|_| SignInError::Busy(5))?;
        match user {
            Some((id, user)) if right => {
                Ok(self.user_principal(id, Credential::Password(user.password_version), wall_ms, None)?)
            }
            _ => Ok(None),
        }
    }

    async fn personal(
        &self,
        secret: &str,
        wall_ms: u64,
        address: Option<IpAddr>,
    ) -> Result<Option<(Principal, u64)>, SignInError> {
        let hash = secret::hash(secret);
        let found = self.meta.get(|tx| {
            let Some(id) = tx.get(&tables::TOKEN_HASH, &hash[..])? else { return Ok(None) };
            Ok::<_, StoreError>(tx.get(&tables::TOKEN, id)?.map(|token| (id, token)))
        })?;
        let Some((id, token)) = found else { return Ok(None) };
        let principal = self.user_principal(token.user, Credential::Token(id), wall_ms, None)?;
        let stale = token.last_used_ms.is_none_or(|last| wall_ms.saturating_sub(last) >= LAST_USED_MS);
        if principal.is_some() && stale {
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            self.note_use(id, wall_ms, address).await?;
        }
        Ok(principal.map(|principal| (principal, token.expires_ms.unwrap_or(u64::MAX))))
    }

    async fn note_use(&self, id: u64, wall_ms: u64, address: String) -> Result<(), StoreError> {
        let noted = self.meta.write(move |tx| {
            if let Some(mut token) = tx.get(&tables::TOKEN, id)? {
                token.last_used_ms = Some(wall_ms);
                token.last_address.clone_from(&address);
                tx.put(&tables::TOKEN, id, &token)?;
            }
            Ok::<_, StoreError>(())
        });
        match noted.await {
            // A full or read-only disk must not keep anybody from pulling.
            Err(error) => {
                tracing::warn!(%error, "the use of a token was not noted");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
