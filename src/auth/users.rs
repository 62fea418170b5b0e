//! The users: until there is a command for them, the first admin.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::Auth;
use super::password;
use crate::store::meta;
use crate::store::meta::StoreError;
use crate::store::meta::Tx as _;
use crate::store::meta::WriteTx;
use crate::store::meta::rows::{AuditEntry, User};
use crate::store::meta::tables;
use crate::telemetry::Secret;

/// The file in the data directory that holds a generated password until it is changed.
const PASSWORD_FILE: &str = "initial-admin-password";

/// Why the first admin could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be left in its file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The admin that was made at this start.
pub struct NewAdmin {
    /// The name to sign in with.
    pub name: String,
    /// The password, to be shown once.
    pub password: Secret<String>,
    /// Where the password lies, readable by the owner only; `None` when the admin gave it.
    pub file: Option<PathBuf>,
}

impl Auth {
    /// Makes the first admin when there is no user at all, with the given password or a new one. A new password is
    /// written and synced to its file before the user exists, so that a crash never leaves an admin nobody can be.
    pub async fn ensure_admin(
        &self,
        name: &str,
        given: Option<Secret<String>>,
        data_dir: &Path,
    ) -> Result<Option<NewAdmin>, UserError> {
        if self.meta.scan(any_user).await? {
            return Ok(None);
        }
        let (password, file) = if let Some(given) = given {
            (given, None)
        } else {
            let password = Secret::new(password::generate());
            let path = data_dir.join(PASSWORD_FILE);
            write_secret(&path, password.expose())
                .map_err(|source| UserError::File { path: path.clone(), source })?;
            (password, Some(path))
        };
        let user_name = name.to_owned();
        let password_hash = password::hash(password.expose());
        let made = self
            .meta
            .write(move |tx| {
                if any_user(tx)? {
                    return Ok(false);
                }
                add_admin(tx, &user_name, &password_hash).map(|()| true)
            })
            .await?;
        self.refresh_epoch()?;
        Ok(made.then(|| NewAdmin { name: name.to_owned(), password, file }))
    }

    fn refresh_epoch(&self) -> Result<(), StoreError> {
        let epoch = self.meta.get(|tx| tx.get(&tables::AUTH_EPOCH, ()))?.unwrap_or(0);
        self.epoch.store(epoch, Ordering::Release);
        Ok(())
    }
}

fn any_user(tx: &impl meta::Tx) -> Result<bool, StoreError> {
    tx.any(&tables::USER, std::ops::Bound::Unbounded, std::ops::Bound::Unbounded)
}

fn add_admin(tx: &WriteTx<'_>, name: &str, password_hash: &str) -> Result<(), StoreError> {
    let id = tx.next_id();
    let user = User {
        name: name.to_owned(),
        password_hash: password_hash.to_owned(),
        admin: true,
        disabled: false,
        created_ms: tx.now().wall_ms,
    };
    tx.put(&tables::USER, id, &user)?;
    tx.put(&tables::USER_NAME, name, &id)?;
    let epoch = tx.get(&tables::AUTH_EPOCH, ())?.unwrap_or(0);
    tx.put(&tables::AUTH_EPOCH, (), &(epoch + 1))?;
    let entry = AuditEntry {
        at_ms: tx.now().wall_ms,
        actor: "system".to_owned(),
        address: String::new(),
        action: "user.create".to_owned(),
        target: name.to_owned(),
    };
    tx.put(&tables::AUDIT, tx.next_sequence(), &entry)
}

fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    meta::sync_dir(path.parent().unwrap_or(Path::new(".")))
}
