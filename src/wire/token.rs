//! `/api/v1/tokens`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Absent;
use crate::model::names::TokenId;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Pull.
    ReadRegistry,
    /// Pull and push.
    WriteRegistry,
    /// Delete.
    DeleteRegistry,
    /// Look at everything through the API.
    ReadApi,
    /// Everything that the API offers.
    Api,
}

/// Whether a token can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It can.
    Active,
    /// Its time is over.
    Expired,
    /// Its user may not sign in.
    UserDisabled,
}

/// A personal token, with which a user signs in instead of the password. The secret is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The stable number.
    #[schema(value_type = u64)]
    pub id: TokenId,
    /// Its owner.
    pub user: String,
    /// The name that its owner gave it.
    pub name: String,
    /// What it may be used for.
    // Not `Scope`: a later server may have more of them.
    #[schema(value_type = Vec<Scope>, inline, min_items = 1)]
    pub scopes: Vec<String>,
    /// Whether it can be used.
    // Not `TokenState`, for the same reason.
    #[schema(value_type = TokenState, inline)]
    pub state: String,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it expires; null: never.
    #[schema(required = true, format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was last used, to the hour.
    #[schema(required = true, format = DateTime)]
    pub last_used_at: Option<String>,
    /// The address from which it was last used.
    #[schema(required = true)]
    pub last_used_from: Option<String>,
}

/// A token that was just created: the only answer that contains its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// The secret with which to sign in. No other answer contains it.
    pub secret: String,
    /// Warnings about scopes that permit this user nothing, one sentence each.
    pub warnings: Vec<String>,
}

/// A token to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its owner.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    pub user: String,
    /// 1 to 128 characters, none of which controls a terminal or the direction of text; a user has one token
    /// of a name.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]*$"
    )]
    pub name: String,
    /// What it may be used for.
    // Not `Scope`: a word that is none is refused by the server, in a sentence that names those it has.
    #[schema(value_type = Vec<Scope>, inline, min_items = 1)]
    pub scopes: Vec<String>,
    /// How long it is valid, in seconds; absent: without end.
    #[serde(default, skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = u64, minimum = 1, maximum = 4_294_967_295_u64)]
    pub lifetime_s: Absent<u64>,
}
