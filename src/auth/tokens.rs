//! Personal tokens: made with scopes and an expiry, shown once, stored as a hash, revoked at once.

use std::ops::{Bound, ControlFlow};

use super::Auth;
use super::grant::{Grant, Inspect, Manage, Withdrawn};
use super::scopes::Scopes;
use super::secret;
use super::secret::SecretKind;
use super::users;
use super::users::UserError;
use crate::model::names::UserId;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::Token;
use crate::store::meta::tables;
use crate::telemetry::Secret;

/// Why a token was not made or revoked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// About its user, or the store.
    #[error(transparent)]
    User(#[from] UserError),
    /// There is no such token.
    #[error("there is no token {0}")]
    Unknown(u64),
    /// The name is empty or too long.
    #[error("a token's name has 1 to 128 characters")]
    Name,
    /// A token without a scope could do nothing.
    #[error("a token needs a scope, such as read_registry")]
    NoScope,
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::User(UserError::Store(error))
    }
}

impl From<Withdrawn> for TokenError {
    fn from(Withdrawn: Withdrawn) -> Self {
        Self::User(UserError::Withdrawn)
    }
}

/// What is told of a token; never its secret.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TokenView {
    /// The number.
    pub id: u64,
    /// Whose it is.
    pub user: String,
    /// What the owner calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<&'static str>,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
    /// From when on it is not valid, in Unix milliseconds.
    pub expires_ms: Option<u64>,
    /// When it was used last, to the hour, in Unix milliseconds.
    pub last_used_ms: Option<u64>,
    /// From which address.
    pub last_address: String,
}

impl TokenView {
    fn new(id: u64, user: &str, token: &Token) -> Self {
        Self {
            id,
            user: user.to_owned(),
            name: token.name.clone(),
            scopes: Scopes::from_bits(token.scopes).names().collect(),
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
            last_used_ms: token.last_used_ms,
            last_address: token.last_address.clone(),
        }
    }
}

/// A token to make.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it will be.
    pub user: String,
    /// What the owner calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// How long it is valid, in seconds; `None`: for ever.
    pub lifetime_s: Option<u64>,
}

impl Auth {
    /// Makes a token and returns it with its secret, which cannot be shown again.
    pub async fn create_token(
        &self,
        grant: &Grant<Manage>,
        new: NewToken,
    ) -> Result<(TokenView, Secret<String>), TokenError> {
        if new.name.is_empty() || new.name.len() > 128 {
            return Err(TokenError::Name);
        }
        if new.scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        let secret = Secret::new(SecretKind::Personal.generate());
        let (grant, hash) = (grant.carry(), secret::hash(secret.expose()));
        let view = self.meta.write(move |tx| {
            grant.recheck(tx)??;
            let (user_id, user) = users::find(tx, &new.user)?;
            let id = tx.next_id();
            let now = tx.now().wall_ms;
            let token = Token {
                user: UserId(user_id),
                name: new.name.clone(),
                hash,
                scopes: new.scopes.bits(),
                created_ms: now,
                expires_ms: new.lifetime_s.map(|lifetime| now.saturating_add(lifetime.saturating_mul(1000))),
                last_used_ms: None,
                last_address: String::new(),
            };
            tx.put(&tables::TOKEN, id, &token)?;
            tx.put(&tables::TOKEN_HASH, &hash[..], &id)?;
            tx.put(&tables::TOKEN_BY_USER, (user_id, id), &())?;
            users::changed(tx, &grant, "token.create", &format!("{}/{id}", user.name))?;
            Ok::<_, TokenError>(TokenView::new(id, &user.name, &token))
        });
        Ok((self.done(view.await)?, secret))
    }

    /// Up to `limit` tokens of a user, or of everybody, with numbers above `last`.
    pub async fn tokens(
        &self,
        _grant: &Grant<Inspect>,
        user: Option<String>,
        last: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TokenView>, TokenError> {
        self.meta
            .scan(move |tx| {
                let mut ids = Vec::new();
                let mut take = |id| {
                    if ids.len() == limit {
                        return ControlFlow::Break(());
                    }
                    ids.push(id);
                    ControlFlow::Continue(())
                };
                if let Some(name) = &user {
                    let user = users::find(tx, name)?.0;
                    let from = last.map_or(Bound::Included((user, 0)), |last| Bound::Excluded((user, last)));
                    let to = Bound::Included((user, u64::MAX));
                    tx.scan(&tables::TOKEN_BY_USER, from, to, |(_, id), ()| take(id))?;
                } else {
                    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
                    tx.scan(&tables::TOKEN.raw(), from, Bound::Unbounded, |id, _| take(id))?;
                }
                let mut views = Vec::with_capacity(ids.len());
                for id in ids {
                    views.extend(view(tx, id)?);
                }
                Ok(views)
            })
            .await
    }

    /// One token.
    pub fn token(&self, _grant: &Grant<Inspect>, id: u64) -> Result<TokenView, TokenError> {
        self.meta.get(|tx| view(tx, id))?.ok_or(TokenError::Unknown(id))
    }

    /// Ends a token from the next request on, with everything that was signed in with it.
    pub async fn revoke_token(&self, grant: &Grant<Manage>, id: u64) -> Result<TokenView, TokenError> {
        let grant = grant.carry();
        let view = self.meta.write_from_reserve(move |tx| {
            grant.recheck(tx)??;
            let token = tx.get(&tables::TOKEN, id)?.ok_or(TokenError::Unknown(id))?;
            let user = tx.get(&tables::USER, token.user.0)?.map(|user| user.name).unwrap_or_default();
            delete(tx, id, &token)?;
            users::changed(tx, &grant, "token.revoke", &format!("{user}/{id}"))?;
            Ok(TokenView::new(id, &user, &token))
        });
        self.done(view.await)
    }
}

fn view(tx: &impl Tx, id: u64) -> Result<Option<TokenView>, StoreError> {
    let Some(token) = tx.get(&tables::TOKEN, id)? else { return Ok(None) };
    let name = tx.get(&tables::USER, token.user.0)?.map(|user| user.name).unwrap_or_default();
    Ok(Some(TokenView::new(id, &name, &token)))
}

fn delete(tx: &WriteTx<'_>, id: u64, token: &Token) -> Result<(), StoreError> {
    tx.delete(&tables::TOKEN, id)?;
    tx.delete(&tables::TOKEN_HASH, &token.hash[..])?;
    tx.delete(&tables::TOKEN_BY_USER, (token.user.0, id)).map(drop)
}

/// Deletes every token of a user who goes.
pub(super) fn delete_all_of(tx: &WriteTx<'_>, user: u64) -> Result<(), StoreError> {
    let mut ids = Vec::new();
    let range = (Bound::Included((user, 0)), Bound::Included((user, u64::MAX)));
    tx.scan(&tables::TOKEN_BY_USER, range.0, range.1, |(_, id), ()| {
        ids.push(id);
        ControlFlow::Continue(())
    })?;
    for id in ids {
        if let Some(token) = tx.get(&tables::TOKEN, id)? {
            delete(tx, id, &token)?;
        }
    }
    Ok(())
}
