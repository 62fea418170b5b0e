//! Principals, as limits count them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::names::UserId;

/// The identity of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HolderId {
    /// A caller without a sign-in, by its address. IPv6 addresses count by their /64: one host owns all of
    /// it.
    Address(IpAddr),
    /// A user, whatever the credential.
    User(UserId),
    /// The admin socket, and the server's own work.
    Local,
}

/// A principal, with the name and address that reports show. Two holders are equal when their ids are.
#[derive(Clone, Debug)]
pub struct Holder {
    id: HolderId,
    name: Arc<str>,
    address: Option<IpAddr>,
}

impl Holder {
    /// A caller without a sign-in. A caller without an address is on the admin socket.
    pub fn address(address: Option<IpAddr>) -> Self {
        Self { id: HolderId::of_address(address), name: "anonymous".into(), address }
    }

    /// A user, calling from `address`.
    pub fn user(id: UserId, name: Arc<str>, address: Option<IpAddr>) -> Self {
        Self { id: HolderId::User(id), name, address }
    }

    /// The admin socket, or the server's own work, under this name.
    pub fn local(name: Arc<str>) -> Self {
        Self { id: HolderId::Local, name, address: None }
    }

    /// Its identity.
    pub const fn id(&self) -> HolderId {
        self.id
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From where it called.
    pub const fn from(&self) -> Option<IpAddr> {
        self.address
    }
}

impl PartialEq for Holder {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Holder {}

impl Hash for Holder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl HolderId {
    /// A caller without a sign-in. A caller without an address is on the admin socket.
    pub fn of_address(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Local, |address| Self::Address(network_of(address)))
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(_) => f.write_str("this address"),
            Self::User(_) => f.write_str("this user"),
            Self::Local => f.write_str("this computer"),
        }
    }
}

/// The network that counts as one client: an IPv4 address as it is (also one that is written as IPv6), an
/// IPv6 address by its first 64 bits.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}
