//! `/api/v1/users`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Absent;
use crate::model::names::UserId;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The stable number.
    #[schema(value_type = u64)]
    pub id: UserId,
    /// The name to sign in with.
    pub name: String,
    /// May do everything.
    pub admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// When the user was created.
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// A user to be created.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 64 letters, digits, `.`, `_`, `-` or `@`, beginning with a letter or digit.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    pub name: String,
    /// 12 to 1,024 characters.
    #[schema(min_length = 12, max_length = 1024)]
    pub password: String,
    /// May do everything.
    #[serde(default)]
    pub admin: bool,
}

/// Either a password or disabled.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, max_properties = 1)]
pub struct UserChange {
    /// 12 to 1,024 characters.
    #[serde(default, skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = String, min_length = 12, max_length = 1024)]
    pub password: Absent<String>,
    /// May not sign in.
    #[serde(default, skip_serializing_if = "Absent::is_absent")]
    #[schema(value_type = bool)]
    pub disabled: Absent<bool>,
}
