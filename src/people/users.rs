//! Users: created, changed and removed by callers who may manage them.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;

use super::{People, tokens};
use crate::access::{Action, Grant, ManageUsers, ReadUsers, Withdrawn};
use crate::auth::{MAX_USER_NAME, PASSWORD_LENGTH, folded, password_length_problem};
use crate::model::audit::AuditAction;
use crate::model::names::UserId;
use crate::store::meta::schema::{self, User};
use crate::store::meta::{Change, StoreError, Tx, WriteTx};
use crate::telemetry::Secret;

/// Why a user was not created or changed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The generated password could not be written to its file.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The user changed since the caller read it.
    #[error("the user {0:?} was changed meanwhile; look again")]
    Changed(String),
    /// The permission was withdrawn meanwhile.
    #[error("the right to manage users was withdrawn meanwhile")]
    Withdrawn,
    /// There is no such user.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// Another user has the name.
    #[error("there is a user {0:?} already")]
    Exists(String),
    /// The name is not valid.
    #[error(
        "{0:?} cannot be a user name: use 1 to 64 letters, digits, `.`, `_`, `-` or `@`, beginning with a letter or digit"
    )]
    Name(String),
    /// The password is too short or too long.
    #[error("{}", password_length_problem(*.0))]
    Password(usize),
    /// The change would leave no admin.
    #[error("{0:?} is the last admin who can sign in; make another one first: stowage user add NAME --admin")]
    LastAdmin(String),
}

impl From<Withdrawn> for UserError {
    fn from(Withdrawn: Withdrawn) -> Self {
        Self::Withdrawn
    }
}

/// A user without the password, for answers.
#[derive(Clone, Debug)]
pub struct UserView {
    /// The stable number.
    pub id: UserId,
    /// The name to sign in with.
    pub name: String,
    /// May do everything.
    pub admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// When the user was made, in Unix milliseconds.
    pub created_ms: u64,
    /// The version of the user; every change gives it a value that it never had.
    pub version: String,
}

impl UserView {
    fn new(id: UserId, user: &User) -> Self {
        let User { name, admin, disabled, created_ms, changed, .. } = user;
        Self {
            id,
            name: name.clone(),
            admin: *admin,
            disabled: *disabled,
            created_ms: *created_ms,
            version: format!("{id}.{changed}"),
        }
    }
}

/// A change of a user.
pub enum UserChange {
    /// Another password. Tokens stay valid; what was obtained with the old password does not.
    Password(Secret<String>),
    /// No sign-in any more.
    Disable,
    /// Sign-in again.
    Enable,
}

impl People {
    /// Up to `limit` users with names after `last`, in byte order.
    pub async fn users(
        &self,
        _grant: &Grant<ReadUsers>,
        last: Option<String>,
        limit: usize,
    ) -> Result<Vec<UserView>, UserError> {
        self.meta
            .scan(move |tx| {
                let last = last.as_deref().map(folded);
                let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut ids = Vec::new();
                tx.scan_range(&schema::USER_NAME, (from, Bound::Unbounded), |_, id| {
                    if ids.len() == limit {
                        return ControlFlow::Break(());
                    }
                    ids.push(id);
                    ControlFlow::Continue(())
                })?;
                let mut users = Vec::with_capacity(ids.len());
                for id in ids {
                    users.extend(tx.get(&schema::USER, id)?.map(|user| UserView::new(id, &user)));
                }
                Ok(users)
            })
            .await
    }

    /// One user.
    pub fn user(&self, _grant: &Grant<ReadUsers>, name: &str) -> Result<UserView, UserError> {
        self.meta.get(|tx| find(tx, name).map(|(id, user)| UserView::new(id, &user)))
    }

    /// Creates a user.
    pub async fn add_user(
        &self,
        grant: &Grant<ManageUsers>,
        name: &str,
        new_password: Secret<String>,
        admin: bool,
    ) -> Result<UserView, UserError> {
        check_name(name)?;
        check_password(&new_password)?;
        let (grant, name) = (grant.carry(), name.to_owned());
        let password_hash = self.auth.hash_password(new_password).await?;
        let view = self.meta.write(move |tx| {
            grant.recheck(tx)??;
            if let Ok((_, other)) = find(tx, &name) {
                return Err(UserError::Exists(other.name));
            }
            let id = tx.next_user();
            let user = new_user(tx, &name, &password_hash, admin);
            tx.put(&schema::USER, id, &user)?;
            tx.put(&schema::USER_NAME, folded(&name).as_str(), &id)?;
            changed(tx, &grant, AuditAction::UserCreate, name.clone())?;
            Ok(UserView::new(id, &user))
        });
        view.await
    }

    /// Changes a user, who must be at the version `expected` if one is given.
    pub async fn change_user(
        &self,
        grant: &Grant<ManageUsers>,
        name: &str,
        expected: Option<String>,
        change: UserChange,
    ) -> Result<UserView, UserError> {
        let (password_hash, action) = match change {
            UserChange::Password(new_password) => {
                check_password(&new_password)?;
                (Some(self.auth.hash_password(new_password).await?), AuditAction::UserPassword)
            }
            UserChange::Disable => (None, AuditAction::UserDisable),
            UserChange::Enable => (None, AuditAction::UserEnable),
        };
        let (grant, name) = (grant.carry(), name.to_owned());
        let view = self.meta.change(Change::that_frees(), move |tx| {
            grant.recheck(tx)??;
            let (id, mut user) = find_at(tx, &name, expected.as_deref())?;
            match &password_hash {
                Some(hash) => {
                    user.password_hash.clone_from(hash);
                    user.password_version += 1;
                }
                None => user.disabled = action == AuditAction::UserDisable,
            }
            if user.disabled && user.admin && !another_admin(tx, id)? {
                return Err(UserError::LastAdmin(user.name));
            }
            user.changed = tx.next_sequence();
            tx.put(&schema::USER, id, &user)?;
            changed(tx, &grant, action, user.name.clone())?;
            Ok(UserView::new(id, &user))
        });
        let view = view.await?;
        if action != AuditAction::UserEnable {
            self.forget_password_file(&view.name);
        }
        Ok(view)
    }

    /// Removes a user with all tokens, at the version `expected` if one is given. Repositories that the user
    /// pushed to stay.
    pub async fn delete_user(
        &self,
        grant: &Grant<ManageUsers>,
        name: &str,
        expected: Option<String>,
    ) -> Result<(), UserError> {
        let (grant, name) = (grant.carry(), name.to_owned());
        let deleted = self.meta.change(Change::that_frees(), move |tx| {
            grant.recheck(tx)??;
            let (id, user) = find_at(tx, &name, expected.as_deref())?;
            if user.admin && !another_admin(tx, id)? {
                return Err(UserError::LastAdmin(user.name));
            }
            tokens::delete_all_of(tx, id)?;
            tx.delete(&schema::USER, id)?;
            tx.delete(&schema::USER_NAME, folded(&user.name).as_str())?;
            changed(tx, &grant, AuditAction::UserDelete, user.name.clone())?;
            Ok::<_, UserError>(user.name)
        });
        self.forget_password_file(&deleted.await?);
        Ok(())
    }
}

pub(super) fn new_user(tx: &WriteTx<'_>, name: &str, password_hash: &str, admin: bool) -> User {
    User {
        name: name.to_owned(),
        password_hash: password_hash.to_owned(),
        admin,
        disabled: false,
        created_ms: tx.now().wall_ms,
        password_version: 1,
        changed: tx.next_sequence(),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), UserError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    let fits = name.len() <= MAX_USER_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(good);
    if fits { Ok(()) } else { Err(UserError::Name(name.chars().take(MAX_USER_NAME).collect())) }
}

fn check_password(new_password: &Secret<String>) -> Result<(), UserError> {
    let length = new_password.expose().chars().count();
    if PASSWORD_LENGTH.contains(&length) { Ok(()) } else { Err(UserError::Password(length)) }
}

pub(super) fn find(tx: &impl Tx, name: &str) -> Result<(UserId, User), UserError> {
    let unknown = || UserError::Unknown(name.to_owned());
    let id = tx.get(&schema::USER_NAME, folded(name).as_str())?.ok_or_else(unknown)?;
    Ok((id, tx.get(&schema::USER, id)?.ok_or_else(unknown)?))
}

/// The user; an error if it is at another version than `expected`.
fn find_at(tx: &impl Tx, name: &str, expected: Option<&str>) -> Result<(UserId, User), UserError> {
    let (id, user) = find(tx, name)?;
    match expected {
        Some(expected) if UserView::new(id, &user).version != expected => {
            Err(UserError::Changed(name.to_owned()))
        }
        _ => Ok((id, user)),
    }
}

pub(super) fn any_user(tx: &impl Tx) -> Result<bool, StoreError> {
    let mut found = false;
    tx.scan_all(&schema::USER, |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn another_admin(tx: &impl Tx, but: UserId) -> Result<bool, StoreError> {
    let mut found = false;
    tx.scan_all(&schema::USER, |id, user| {
        found |= id != but && user.admin && !user.disabled;
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// Raises the epoch and writes the audit entry of a change of a user's rights.
pub(super) fn changed<A: Action>(
    tx: &WriteTx<'_>,
    grant: &Grant<A>,
    action: AuditAction,
    target: String,
) -> Result<(), StoreError> {
    tx.raise_epoch()?;
    tx.audit(grant.caller().actor(), action, target)
}
