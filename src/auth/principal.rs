//! Who is calling.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::names::UserId;
use crate::store::meta::rows::Owner;

/// Somebody who was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Somebody unnamed, in an open registry.
    Anonymous,
    /// A user of the registry.
    User {
        /// The stable number.
        id: UserId,
        /// The name, for people.
        name: Arc<str>,
    },
}

impl Principal {
    /// The name for logs, histories and events.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User { name, .. } => name,
        }
    }

    /// Whose the upload sessions are that this caller opens.
    pub const fn owner(&self) -> Owner {
        match self {
            Self::Anonymous => Owner::Anonymous,
            Self::User { id, .. } => Owner::User(*id),
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
    /// The address for histories and events; empty when there is none.
    pub fn address_text(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }
}
