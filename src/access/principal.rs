//! The caller of a request: its identity, its credential, and the bounds of that credential.

use std::net::IpAddr;
use std::sync::Arc;

use super::claims::Claims;
use super::scopes::Scopes;
use crate::limits::Holder;
use crate::model::audit::Actor;
use crate::model::names::{TokenId, UserId};
use crate::store::meta::schema::Owner;

/// The credential with which a user signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The password. The number is its version, so that a change ends sessions of the old one.
    Password(u64),
    /// A personal token.
    Token(TokenId),
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A caller without a sign-in, in an open registry.
    Anybody,
    /// A caller without a sign-in, with an anonymous token.
    Anonymous {
        /// The rights in the token.
        claims: Arc<Claims>,
    },
    /// A user of the registry.
    User {
        /// The stable number.
        id: UserId,
        /// The name, for texts and logs.
        name: Arc<str>,
        /// How the user signed in.
        credential: Credential,
        /// What the credential may be used for.
        scopes: Scopes,
        /// The rights in a registry token; `None` for a password or personal token itself.
        claims: Option<Arc<Claims>>,
    },
    /// A caller at the admin socket, with the name of the local user. The mode of the socket's file is the
    /// only access control.
    Local {
        /// The local user's name.
        name: Arc<str>,
    },
}

impl Principal {
    /// The name for logs, histories and events.
    pub fn name(&self) -> &str {
        match self {
            Self::Anybody | Self::Anonymous { .. } => "anonymous",
            Self::User { name, .. } | Self::Local { name } => name,
        }
    }

    /// The size of the texts in it, for caches that count bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        let name = match self {
            Self::User { name, .. } | Self::Local { name } => name.len(),
            Self::Anybody | Self::Anonymous { .. } => 0,
        };
        name + self.claims().map_or(0, Claims::text_bytes)
    }

    /// The owner of the upload sessions that this caller opens.
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Anybody | Self::Anonymous { .. } | Self::Local { .. } => Owner::Anonymous,
            Self::User { id, credential: Credential::Password(_), .. } => Owner::User(*id),
            Self::User { credential: Credential::Token(token), .. } => Owner::Token(*token),
        }
    }

    /// The same caller at the admin API, where other scopes of a token count than at the registry.
    #[must_use]
    pub fn through_api(mut self) -> Self {
        if let Self::User { scopes, .. } = &mut self {
            *scopes = scopes.through_api();
        }
        self
    }

    /// The rights in a registry token, if the caller presented one.
    pub fn claims(&self) -> Option<&Claims> {
        match self {
            Self::Anonymous { claims } => Some(claims),
            Self::User { claims, .. } => claims.as_deref(),
            Self::Anybody | Self::Local { .. } => None,
        }
    }
}

/// A principal and the address from which it calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The principal.
    pub principal: Principal,
    /// Its address.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// The same caller with all rights of its identity, whatever the presented registry token covers: its
    /// bearer could request another one.
    #[must_use]
    pub fn by_right(&self) -> Self {
        let mut caller = self.clone();
        if let Principal::User { claims, .. } = &mut caller.principal {
            *claims = None;
        }
        caller
    }

    /// The principal as limits count it.
    pub fn holder(&self) -> Holder {
        match &self.principal {
            Principal::Anybody | Principal::Anonymous { .. } => Holder::address(self.address),
            Principal::User { id, name, .. } => Holder::user(*id, Arc::clone(name), self.address),
            Principal::Local { name } => Holder::local(Arc::clone(name)),
        }
    }

    /// The actor for histories, events and the audit log.
    pub fn actor(&self) -> Actor<'_> {
        Actor { name: self.principal.name(), address: self.address }
    }
}
