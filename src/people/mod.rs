//! Users and their tokens: created, changed and removed. Every change raises the epoch of permissions, so
//! that it takes effect with the next request.

mod first_admin;
mod tokens;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use first_admin::NewAdmin;
pub use tokens::{MadeToken, NewToken, TokenError, TokenView};
pub use users::{UserChange, UserError, UserView};

use crate::auth::Auth;
use crate::store::meta::Meta;

/// Creates, changes and removes users and tokens, for callers that have the grant.
pub struct People {
    meta: Arc<Meta>,
    auth: Arc<Auth>,
    data_dir: PathBuf,
    initial_admin: String,
}

impl People {
    /// The users in `meta`, whose data directory is `data_dir`. `initial_admin` is the name of the first
    /// admin.
    pub fn new(meta: Arc<Meta>, auth: Arc<Auth>, data_dir: &Path, initial_admin: &str) -> Self {
        Self { meta, auth, data_dir: data_dir.to_owned(), initial_admin: initial_admin.to_owned() }
    }
}

#[cfg(test)]
mod tests;
