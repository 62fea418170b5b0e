//! The first admin, and the file that holds its generated password until the password is changed.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::People;
use super::users::{UserError, any_user, check_name, new_user};
use crate::auth::{folded, generate_password};
use crate::model::audit::{Actor, AuditAction};
use crate::store::durable::{self, WriteError};
use crate::store::meta::schema;
use crate::telemetry::Secret;

/// The file in the data directory that holds a generated password until it is changed.
const PASSWORD_FILE: &str = "initial-admin-password";

/// The admin that was created at this start.
pub struct NewAdmin {
    /// The name to sign in with.
    pub name: String,
    /// The password, to be shown once.
    pub password: Secret<String>,
    /// The file with the password, readable by the owner only; `None` when the operator chose the password.
    pub file: Option<PathBuf>,
}

impl People {
    /// Creates the first admin when there is no user, with the given password or a generated one. A generated
    /// password is written to its file and synced before the user exists, so that a crash never leaves an
    /// admin whose password is unknown.
    pub async fn ensure_admin(&self, given: Option<Secret<String>>) -> Result<Option<NewAdmin>, UserError> {
        if self.meta.scan(any_user).await? {
            return Ok(None);
        }
        let name = &self.initial_admin;
        check_name(name)?;
        let (new_password, file) = if let Some(given) = given {
            (given, None)
        } else {
            let generated = Secret::new(generate_password());
            let path = self.data_dir.join(PASSWORD_FILE);
            durable::write_file(&path, 0o600, |file| writeln!(file, "{}", generated.expose()))
                .map_err(|WriteError { path, source }| UserError::File { path, source })?;
            (generated, Some(path))
        };
        let user_name = name.clone();
        let password_hash = self.auth.hash_password(Secret::new(new_password.expose().clone())).await?;
        let made = self.meta.write(move |tx| {
            if any_user(tx)? {
                return Ok(false);
            }
            let id = tx.next_user();
            tx.put(&schema::USER, id, &new_user(tx, &user_name, &password_hash, true))?;
            tx.put(&schema::USER_NAME, folded(&user_name).as_str(), &id)?;
            tx.raise_epoch()?;
            tx.audit(Actor::SYSTEM, AuditAction::UserCreate, user_name.clone())?;
            Ok::<_, UserError>(true)
        });
        let made = made.await?;
        Ok(made.then(|| NewAdmin { name: name.clone(), password: new_password, file }))
    }

    /// Removes the file once its password is of no use: it was changed, or its admin was disabled or removed.
    pub(super) fn forget_password_file(&self, name: &str) {
        let path = self.data_dir.join(PASSWORD_FILE);
        if folded(name) == folded(&self.initial_admin)
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %error, "the file of the old password could not be removed");
        }
    }
}
