//! Users and their credentials.

use serde::{Deserialize, Serialize};

use crate::model::names::{Sequence, TokenId, UserId};
use crate::model::secret::SecretHash;
use crate::store::meta::table::{Raw, Record, Table};

/// user id -> user.
pub const USER: Table<UserId, User> = Table::new("user");

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name to sign in with.
    pub name: String,
    /// The password as an argon2id string (RFC 9106).
    pub password_hash: String,
    /// May do everything.
    pub admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// When the user was created, in Unix milliseconds.
    pub created_ms: u64,
    /// Raised with every new password: what was obtained with an older one is no longer valid.
    pub password_version: u64,
    /// The sequence of the last change. It never repeats, so a change that was based on an older state is
    /// detected.
    pub changed: Sequence,
}

impl Record for User {}

#[cfg(test)]
impl User {
    /// A user without rights, who has no password.
    pub(crate) fn sample(name: &str) -> Self {
        let (name, password_hash, password_version) = (name.to_owned(), String::new(), 1);
        let (admin, disabled, created_ms, changed) = (false, false, 0, Sequence(0));
        Self { name, password_hash, admin, disabled, created_ms, password_version, changed }
    }
}

/// user name in lower case -> user id.
pub const USER_NAME: Table<&'static str, UserId> = Table::new("user_name");

/// token id -> personal token.
pub const TOKEN: Table<TokenId, Token> = Table::new("token");

/// A personal token: a user's right to sign in without the password, within scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its owner.
    pub user: UserId,
    /// The name that its owner gave it.
    pub name: String,
    /// SHA-256 of the secret. With 160 random bits it needs no slow hash.
    pub hash: SecretHash,
    /// The scopes, as bits.
    pub scopes: u8,
    /// When it was created, in Unix milliseconds.
    pub created_ms: u64,
    /// From when on it is no longer valid, in Unix milliseconds; `None`: never.
    pub expires_ms: Option<u64>,
    /// When it was used last, to the hour, in Unix milliseconds.
    pub last_used_ms: Option<u64>,
    /// From which address it was used last.
    pub last_address: String,
}

impl Record for Token {}

/// SHA-256 of a token's secret -> token id.
pub const TOKEN_HASH: Table<SecretHash, TokenId> = Table::new("token_hash");

/// (user id, token id) -> ().
pub const TOKEN_BY_USER: Table<(UserId, TokenId), ()> = Table::new("token_by_user");

/// SHA-256 of a refresh token -> who signed in.
pub const REFRESH: Table<SecretHash, Refresh> = Table::new("refresh");

/// A refresh token of the token endpoint: `docker login` stores it instead of the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// The user who signed in.
    pub user: UserId,
    /// The personal token used for it; `None`: the password.
    pub token: Option<TokenId>,
    /// The user's `password_version` at that time.
    pub password_version: u64,
    /// When it was used last, to the day, by the latest time known then.
    pub used_ms: u64,
    /// The sequence of that use: its position in `refresh_by_user`.
    pub sequence: Sequence,
}

impl Record for Refresh {}

/// (user id, sequence of the last use) -> SHA-256 of a refresh token: the tokens of a user, the least
/// recently used first.
pub const REFRESH_BY_USER: Table<(UserId, Sequence), Raw> = Table::new("refresh_by_user");
