//! Authenticates callers: passwords, personal tokens, registry tokens.

use std::net::IpAddr;
use std::sync::Arc;

use super::Auth;
use super::attempt::REMEMBER_MS;
use super::credential_cache::{CredentialKind, Key, LONGEST_REMEMBERED, Verified};
use super::credentials::{Basic, Header};
use super::jwt::Unverified;
use super::secret::{self, SecretKind};
use super::sign_in_error::SignInError;
use super::user_name::folded;
use crate::access::{self, Claims, Credential, Policy, Principal, Scopes};
use crate::model::names::{TokenId, UserId};
use crate::store::meta::schema::{self, Token};
use crate::store::meta::{StoreError, Tx as _};

/// How exactly the time of a token's last use is stored.
const LAST_USED_MS: u64 = 60 * 60 * 1000;

/// The interface at which a credential is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The registry's API.
    Registry,
    /// An upload session of the registry's API. Here an expired registry token is accepted for as long as the
    /// upload may be idle, so that a push that began with a valid token can finish (docs/decisions.md,
    /// "Uploads outlive tokens").
    Upload,
    /// The admin API. It accepts no registry tokens: none covers anything there.
    Admin,
}

impl Auth {
    /// Authenticates the sender of an `Authorization` header.
    pub async fn authenticate(
        self: &Arc<Self>,
        header: Option<&str>,
        address: Option<IpAddr>,
        door: Door,
    ) -> Result<Principal, SignInError> {
        let anonymous_pull = match self.access.policy() {
            Policy::Open => return Ok(Principal::Anybody),
            Policy::SignIn { anonymous_pull } => anonymous_pull,
        };
        let header = header.ok_or(SignInError::Missing { anonymous_pull })?;
        match Header::parse(header).ok_or(SignInError::Malformed)? {
            Header::Bearer(token) if SecretKind::Personal.recognises(token) => {
                self.personal(token, address).await
            }
            Header::Bearer(token) => self.registry_token(token, door),
            Header::Basic(basic) => self.basic(basic, address).await,
        }
    }

    /// The principal of a cached credential. After a change of rights its rows are read again; the secret
    /// itself is known to be correct.
    pub(super) fn recall(&self, kind: CredentialKind, key: &Key) -> Result<Option<Principal>, StoreError> {
        let (epoch, now_ms) = (self.meta.auth_epoch(), self.meta.latest_ms());
        let Some(known) = self.cache.get(kind, key, now_ms) else { return Ok(None) };
        if known.epoch == epoch {
            return Ok(Some(known.principal));
        }
        let Principal::User { id, credential, claims, .. } = &known.principal else { return Ok(None) };
        let Some(principal) = self.user_principal(*id, *credential, claims.as_ref())? else {
            self.cache.forget(kind, key);
            return Ok(None);
        };
        self.cache.put(kind, *key, Verified { principal: principal.clone(), epoch, ..known });
        Ok(Some(principal))
    }

    fn registry_token(&self, token: &str, door: Door) -> Result<Principal, SignInError> {
        let key = self.cache.key(&[token]);
        if door != Door::Admin
            && let Some(principal) = self.recall(CredentialKind::Registry, &key)?
        {
            return Ok(principal);
        }
        let epoch = self.meta.auth_epoch();
        let now_s = self.meta.latest_ms() / 1000;
        let late_s = match door {
            Door::Upload => self.settings.load().upload_idle_s,
            Door::Registry | Door::Admin => 0,
        };
        let claims = match self.signer.verify(token, super::SERVICE, now_s, late_s) {
            Err(Unverified::Foreign) => return Err(SignInError::Foreign),
            _ if door == Door::Admin => return Err(SignInError::RegistryToken),
            Err(Unverified::Untimely) => return Err(SignInError::Stale),
            Ok(claims) => claims,
        };
        let covered = Arc::new(Claims(claims.access));
        if claims.uid == 0 {
            return Ok(Principal::Anonymous { claims: covered });
        }
        let credential = match claims.tid {
            0 => Credential::Password(claims.pwv),
            token => Credential::Token(TokenId(token)),
        };
        let principal = self.user_principal(UserId(claims.uid), credential, Some(&covered))?;
        let principal = principal.ok_or(SignInError::Stale)?;
        if token.len() <= LONGEST_REMEMBERED {
            let until_ms = claims.exp.saturating_mul(1000);
            self.cache.put(
                CredentialKind::Registry,
                key,
                Verified { principal: principal.clone(), until_ms, epoch },
            );
        }
        Ok(principal)
    }

    /// The user of a credential, if both are still valid.
    pub(super) fn user_principal(
        &self,
        id: UserId,
        credential: Credential,
        claims: Option<&Arc<Claims>>,
    ) -> Result<Option<Principal>, StoreError> {
        let now_ms = self.meta.latest_ms();
        self.meta.get(|tx| {
            let Some(user) = access::user(tx, id, credential, now_ms)? else { return Ok(None) };
            let scopes = match credential {
                Credential::Password(_) => Scopes::ALL,
                Credential::Token(token) => tx
                    .get(&schema::TOKEN, token)?
                    .map_or(Scopes::from_bits(0), |token| Scopes::from_bits(token.scopes)),
            };
            let name = Arc::from(user.name);
            Ok(Some(Principal::User { id, name, credential, scopes, claims: claims.cloned() }))
        })
    }

    /// Authenticates a name with a password or a personal token. A token needs no hash and cannot be guessed,
    /// so it does not wait in the queue of verifications.
    pub(super) async fn basic(
        self: &Arc<Self>,
        basic: Basic,
        address: Option<IpAddr>,
    ) -> Result<Principal, SignInError> {
        if !SecretKind::Personal.recognises(&basic.password) {
            return self.by_password(basic, address).await;
        }
        let result = self.personal_of(&basic, address).await;
        if let Err(error) = &result {
            self.failures.tell(&basic.name, address, error);
        }
        result
    }

    async fn personal_of(&self, basic: &Basic, address: Option<IpAddr>) -> Result<Principal, SignInError> {
        let principal = self.personal(&basic.password, address).await?;
        if folded(principal.name()) == folded(&basic.name) {
            return Ok(principal);
        }
        Err(SignInError::Anothers { owner: principal.name().to_owned() })
    }

    /// Authenticates the holder of a personal token. The secret is known to be correct, so the error may say
    /// what is wrong with the token.
    async fn personal(&self, secret: &str, address: Option<IpAddr>) -> Result<Principal, SignInError> {
        let key = self.cache.key(&[secret]);
        if let Some(principal) = self.recall(CredentialKind::Personal, &key)? {
            return Ok(principal);
        }
        let (epoch, now_ms) = (self.meta.auth_epoch(), self.meta.latest_ms());
        let hash = secret::hash(secret);
        let found = self.meta.get(|tx| {
            let Some(id) = tx.get(&schema::TOKEN_HASH, &hash)? else { return Ok(None) };
            let Some(token) = tx.get(&schema::TOKEN, id)? else { return Ok(None) };
            Ok::<_, StoreError>(tx.get(&schema::USER, token.user)?.map(|user| (id, token, user)))
        })?;
        let (id, token, user) = found.ok_or(SignInError::Revoked)?;
        if user.disabled {
            return Err(SignInError::Disabled { user: user.name });
        }
        let expires_ms = token.expires_ms.unwrap_or(u64::MAX);
        if expires_ms <= now_ms {
            return Err(SignInError::Expired { at_ms: expires_ms });
        }
        let principal = self.user_principal(token.user, Credential::Token(id), None)?;
        let principal = principal.ok_or(SignInError::Revoked)?;
        self.note_use(id, &token, address).await?;
        let until_ms = expires_ms.min(now_ms + REMEMBER_MS);
        self.cache.put(
            CredentialKind::Personal,
            key,
            Verified { principal: principal.clone(), until_ms, epoch },
        );
        Ok(principal)
    }

    /// Records the use of a token, once an hour. A recorded time ahead of the clock is from a time when the
    /// clock was wrong.
    async fn note_use(&self, id: TokenId, token: &Token, address: Option<IpAddr>) -> Result<(), StoreError> {
        let wall_ms = self.meta.clock().now().wall_ms;
        let noted = |last: u64| last <= wall_ms && wall_ms - last < LAST_USED_MS;
        if token.last_used_ms.is_some_and(noted) {
            return Ok(());
        }
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        let noted = self.meta.write(move |tx| {
            if let Some(mut token) = tx.get(&schema::TOKEN, id)? {
                token.last_used_ms = Some(wall_ms);
                token.last_address.clone_from(&address);
                tx.put(&schema::TOKEN, id, &token)?;
            }
            Ok::<_, StoreError>(())
        });
        // A full or read-only disk must not prevent pulls.
        if let Err(error) = noted.await {
            tracing::warn!(%error, "could not record the use of a token");
        }
        Ok(())
    }
}
