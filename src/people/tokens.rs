//! Personal tokens: created with scopes and an expiry, shown once, stored as a hash, revoked at once.

use std::ops::{Bound, ControlFlow};

use super::People;
use super::users::{self, UserError};
use crate::access::{Grant, ManageTokens, ReadTokens, Scopes, Withdrawn};
use crate::auth::{SecretKind, hash_secret};
use crate::model::audit::AuditAction;
use crate::model::names::{TokenId, UserId};
use crate::store::meta::schema::{self, Token, User};
use crate::store::meta::{Change, StoreError, Tx, WriteTx};
use crate::telemetry::Secret;

/// The most characters of a token's name.
const LONGEST_NAME: usize = 128;

/// Why a token was not created or revoked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// An error about its user, or of the store.
    #[error(transparent)]
    User(#[from] UserError),
    /// There is no such token.
    #[error("there is no token {0}")]
    Unknown(TokenId),
    /// The name is empty, too long, or has characters that would disturb the terminals of those who list it.
    #[error("a token's name has 1 to 128 characters, none of them a control character")]
    Name,
    /// The user has a token of this name.
    #[error(
        "{user} has a token {name:?} already: revoke it first (stowage token revoke {id}), or choose another name"
    )]
    Exists {
        /// Whose.
        user: String,
        /// What it is called.
        name: String,
        /// Its number.
        id: TokenId,
    },
    /// A token without a scope would permit nothing.
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

/// A token without its secret, for answers.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// The number.
    pub id: TokenId,
    /// Whose it is.
    pub user: String,
    /// What the owner calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<&'static str>,
    /// Whether it can be used: `active`, `expired`, or `user_disabled`.
    pub state: &'static str,
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
    fn new(id: TokenId, user: &User, token: &Token, now_ms: u64) -> Self {
        let state = match token.expires_ms {
            Some(expires) if expires <= now_ms => "expired",
            _ if user.disabled => "user_disabled",
            _ => "active",
        };
        Self {
            id,
            state,
            user: user.name.clone(),
            name: token.name.clone(),
            scopes: Scopes::from_bits(token.scopes).names().collect(),
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
            last_used_ms: token.last_used_ms,
            last_address: token.last_address.clone(),
        }
    }
}

/// A token to be created.
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

/// A token that was created.
pub struct MadeToken {
    /// The token without its secret.
    pub view: TokenView,
    /// Its secret, which cannot be shown again.
    pub secret: Secret<String>,
    /// Scopes that permit this user nothing, one sentence each.
    pub warnings: Vec<String>,
}

impl People {
    /// Creates a token.
    pub async fn create_token(
        &self,
        grant: &Grant<ManageTokens>,
        new: NewToken,
    ) -> Result<MadeToken, TokenError> {
        if new.name.is_empty() || new.name.chars().count() > LONGEST_NAME || !is_printable(&new.name) {
            return Err(TokenError::Name);
        }
        if new.scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        let secret = Secret::new(SecretKind::Personal.generate());
        let (grant, hash) = (grant.carry(), hash_secret(secret.expose()));
        let made = self.meta.write(move |tx| {
            grant.recheck(tx)??;
            let (user_id, user) = users::find(tx, &new.user)?;
            if let Some(id) = named(tx, user_id, &new.name)? {
                return Err(TokenError::Exists { user: user.name, name: new.name.clone(), id });
            }
            let id = tx.next_token();
            // Expiry is measured by the latest time that the store knows. If the clock was ahead once, a new
            // token does not expire at once.
            let expires = |lifetime: u64| tx.latest_ms().saturating_add(lifetime.saturating_mul(1000));
            let token = Token {
                user: user_id,
                name: new.name.clone(),
                hash,
                scopes: new.scopes.bits(),
                created_ms: tx.now().wall_ms,
                expires_ms: new.lifetime_s.map(expires),
                last_used_ms: None,
                last_address: String::new(),
            };
            tx.put(&schema::TOKEN, id, &token)?;
            tx.put(&schema::TOKEN_HASH, &hash, &id)?;
            tx.put(&schema::TOKEN_BY_USER, (user_id, id), &())?;
            users::changed(tx, &grant, AuditAction::TokenCreate, format!("{}/{id}", user.name))?;
            let warnings = idle_scopes(new.scopes, &user);
            Ok::<_, TokenError>((TokenView::new(id, &user, &token, tx.latest_ms()), warnings))
        });
        let (view, warnings) = made.await?;
        Ok(MadeToken { view, secret, warnings })
    }

    /// Up to `limit` tokens of one user, or of all users, with numbers above `last`.
    pub async fn tokens(
        &self,
        _grant: &Grant<ReadTokens>,
        user: Option<String>,
        last: Option<TokenId>,
        limit: usize,
    ) -> Result<Vec<TokenView>, TokenError> {
        let now_ms = self.meta.latest_ms();
        self.meta
            .scan(move |tx| {
                let mut ids = Vec::new();
                let from = last.map_or(Bound::Unbounded, Bound::Excluded);
                let mut take = |id| {
                    if ids.len() == limit {
                        return ControlFlow::Break(());
                    }
                    ids.push(id);
                    ControlFlow::Continue(())
                };
                if let Some(name) = &user {
                    let user = users::find(tx, name)?.0;
                    tx.scan_within(&schema::TOKEN_BY_USER, user, (from, Bound::Unbounded), |id, ()| {
                        take(id)
                    })?;
                } else {
                    tx.scan_range(&schema::TOKEN.raw(), (from, Bound::Unbounded), |id, _| take(id))?;
                }
                let mut views = Vec::with_capacity(ids.len());
                for id in ids {
                    views.extend(view(tx, id, now_ms)?);
                }
                Ok(views)
            })
            .await
    }

    /// One token.
    pub fn token(&self, _grant: &Grant<ReadTokens>, id: TokenId) -> Result<TokenView, TokenError> {
        let now_ms = self.meta.latest_ms();
        self.meta.get(|tx| view(tx, id, now_ms))?.ok_or(TokenError::Unknown(id))
    }

    /// Revokes a token from the next request on, with every token that was obtained with it.
    pub async fn revoke_token(
        &self,
        grant: &Grant<ManageTokens>,
        id: TokenId,
    ) -> Result<TokenView, TokenError> {
        let grant = grant.carry();
        let view = self.meta.change(Change::that_frees(), move |tx| {
            grant.recheck(tx)??;
            let token = tx.get(&schema::TOKEN, id)?.ok_or(TokenError::Unknown(id))?;
            let user = tx.get(&schema::USER, token.user)?.ok_or(TokenError::Unknown(id))?;
            delete(tx, id, &token)?;
            users::changed(tx, &grant, AuditAction::TokenRevoke, format!("{}/{id}", user.name))?;
            Ok(TokenView::new(id, &user, &token, tx.latest_ms()))
        });
        view.await
    }
}

/// Whether a terminal can show the text as it is: no character moves the cursor or changes the direction of
/// text.
fn is_printable(text: &str) -> bool {
    let is_mark = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    let turns = |c: char| is_mark(c) || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() || turns(c))
}

/// Warnings about scopes that permit this user nothing.
fn idle_scopes(scopes: Scopes, user: &User) -> Vec<String> {
    let mut idle = Vec::new();
    if scopes.any(Scopes::DELETE_REGISTRY) && !user.admin {
        idle.push(format!("delete_registry gives nothing: only admins delete, and {} is not one", user.name));
    }
    if scopes.any(Scopes::API) && !user.admin {
        idle.push(format!("api changes nothing: only admins do, and {} is not one", user.name));
    }
    idle
}

fn view(tx: &impl Tx, id: TokenId, now_ms: u64) -> Result<Option<TokenView>, StoreError> {
    let Some(token) = tx.get(&schema::TOKEN, id)? else { return Ok(None) };
    let user = tx.get(&schema::USER, token.user)?;
    Ok(user.map(|user| TokenView::new(id, &user, &token, now_ms)))
}

/// The token of a user that has this name.
fn named(tx: &impl Tx, user: UserId, name: &str) -> Result<Option<TokenId>, StoreError> {
    for id in of_user(tx, user)? {
        if tx.get(&schema::TOKEN, id)?.is_some_and(|token| token.name == name) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn of_user(tx: &impl Tx, user: UserId) -> Result<Vec<TokenId>, StoreError> {
    let mut ids = Vec::new();
    tx.scan_prefix(&schema::TOKEN_BY_USER, user, |id, ()| {
        ids.push(id);
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}

fn delete(tx: &WriteTx<'_>, id: TokenId, token: &Token) -> Result<(), StoreError> {
    tx.delete(&schema::TOKEN, id)?;
    tx.delete(&schema::TOKEN_HASH, &token.hash)?;
    tx.delete(&schema::TOKEN_BY_USER, (token.user, id)).map(drop)
}

/// Deletes every token of a user who is being removed.
pub(super) fn delete_all_of(tx: &WriteTx<'_>, user: UserId) -> Result<(), StoreError> {
    for id in of_user(tx, user)? {
        if let Some(token) = tx.get(&schema::TOKEN, id)? {
            delete(tx, id, &token)?;
        }
    }
    Ok(())
}
