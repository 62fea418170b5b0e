//! Who may do what, as one function over the stored rows.
//!
//! Until projects and roles exist: in an open registry everybody may do everything; elsewhere every user who may
//! sign in pulls and pushes, and only admins delete.

use super::grant::Kind;
use super::principal::Principal;
use crate::store::meta::StoreError;
use crate::store::meta::Tx;
use crate::store::meta::tables;

/// How the registry treats those who do not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everybody may pull, push and delete (`serve --anonymous`).
    Open,
    /// Everybody signs in.
    SignIn,
}

/// Whether `principal` may do `kind` by what is stored now.
pub(super) fn permits(
    policy: Policy,
    principal: &Principal,
    kind: Kind,
    tx: &impl Tx,
) -> Result<bool, StoreError> {
    if policy == Policy::Open {
        return Ok(kind != Kind::System);
    }
    let Principal::User { id, .. } = principal else {
        return Ok(false);
    };
    let Some(user) = tx.get(&tables::USER, id.0)? else {
        return Ok(false);
    };
    Ok(!user.disabled
        && match kind {
            Kind::Pull | Kind::Push | Kind::Catalog => true,
            Kind::Delete => user.admin,
            Kind::System => false,
        })
}
