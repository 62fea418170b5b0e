//! The people who use the registry: users and their tokens, from the day they are made to the day they go.
//! Every change raises the epoch of permissions, so that it counts from the next request on.

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

/// Makes, changes and removes users and tokens for callers who may.
pub struct People {
    meta: Arc<Meta>,
    auth: Arc<Auth>,
    data_dir: PathBuf,
    initial_admin: String,
}

impl People {
    /// Those of the store `meta`, whose data directory this is. `initial_admin` is the name of the first
    /// admin.
    pub fn new(meta: Arc<Meta>, auth: Arc<Auth>, data_dir: &Path, initial_admin: &str) -> Self {
        Self { meta, auth, data_dir: data_dir.to_owned(), initial_admin: initial_admin.to_owned() }
    }
}

#[cfg(test)]
mod tests;
