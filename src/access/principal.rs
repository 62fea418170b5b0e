//! Who is calling, by what, and within which bounds.

use std::net::IpAddr;
use std::sync::Arc;

use super::claims::Claims;
use super::scopes::Scopes;
use crate::limits::Holder;
use crate::model::audit::Actor;
use crate::model::names::{TokenId, UserId};
use crate::store::meta::schema::Owner;

/// How a user proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The password, at this version of it.
    Password(u64),
    /// A personal token.
    Token(TokenId),
}

/// A caller who was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A caller without a sign-in, in an open registry.
    Anybody,
    /// A caller without a sign-in, with an anonymous token.
    Anonymous {
        /// What the token is for.
        claims: Arc<Claims>,
    },
    /// A user of the registry.
    User {
        /// The stable number.
        id: UserId,
        /// The name, for people.
        name: Arc<str>,
        /// How the user signed in.
        credential: Credential,
        /// What the credential may be used for.
        scopes: Scopes,
        /// What a registry token is for; `None` for the credential itself.
        claims: Option<Arc<Claims>>,
    },
    /// A caller at the admin socket, by the name of the local user. The file's mode is the gate.
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

    /// Bytes of the text in it, for what keeps it to count.
    pub(crate) fn text_bytes(&self) -> usize {
        let name = match self {
            Self::User { name, .. } | Self::Local { name } => name.len(),
            Self::Anybody | Self::Anonymous { .. } => 0,
        };
        name + self.claims().map_or(0, Claims::text_bytes)
    }

    /// Whose the upload sessions are that this caller opens.
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Anybody | Self::Anonymous { .. } | Self::Local { .. } => Owner::Anonymous,
            Self::User { id, credential: Credential::Password(_), .. } => Owner::User(*id),
            Self::User { credential: Credential::Token(token), .. } => Owner::Token(*token),
        }
    }

    /// The same caller at the API, where other scopes of a token count than at the registry.
    #[must_use]
    pub fn through_api(mut self) -> Self {
        if let Self::User { scopes, .. } = &mut self {
            *scopes = scopes.through_api();
        }
        self
    }

    /// What a registry token is for, if the caller has come with one.
    pub fn claims(&self) -> Option<&Claims> {
        match self {
            Self::Anonymous { claims } => Some(claims),
            Self::User { claims, .. } => claims.as_deref(),
            Self::Anybody | Self::Local { .. } => None,
        }
    }
}

/// A principal and where it calls from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From which address.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// The same caller with all that the identity may do, whatever the registry token at hand covers: its
    /// bearer could ask for another one.
    #[must_use]
    pub fn by_right(&self) -> Self {
        let mut caller = self.clone();
        if let Principal::User { claims, .. } = &mut caller.principal {
            *claims = None;
        }
        caller
    }

    /// Whom the limits count this caller as.
    pub fn holder(&self) -> Holder {
        match &self.principal {
            Principal::Anybody | Principal::Anonymous { .. } => Holder::address(self.address),
            Principal::User { id, name, .. } => Holder::user(*id, Arc::clone(name), self.address),
            Principal::Local { name } => Holder::local(Arc::clone(name)),
        }
    }

    /// Who does what this caller does, for histories, events and the audit log.
    pub fn actor(&self) -> Actor<'_> {
        Actor { name: self.principal.name(), address: self.address }
    }
}
