//! Errors and reports about limits that were reached.

use std::net::IpAddr;

use super::resource::Resource;
use super::settings::Limit;

/// A limit was reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many {} {scope} (limit {limit}, {setting}): wait until some of them end", resource.words())]
pub struct LimitReached {
    /// The resource.
    pub resource: Resource,
    /// Whose limit it is: "for this user", or "on the server" for the limit over all principals.
    pub scope: String,
    /// The limit.
    pub limit: u64,
    /// The setting that changes it.
    pub setting: &'static str,
}

impl LimitReached {
    /// The limit over all principals was reached.
    pub(super) fn of_all(resource: Resource, limit: Limit) -> Self {
        Self { resource, scope: "on the server".to_owned(), limit: limit.total, setting: limit.total_setting }
    }
}

/// A principal that was refused, or had to wait, because of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The principal's name.
    pub principal: String,
    /// From where it called last.
    pub address: Option<IpAddr>,
    /// The resource that it requested.
    pub resource: Resource,
    /// The limit.
    pub limit: u64,
    /// The setting that changes it.
    pub setting: &'static str,
    /// What it holds now.
    pub held: u64,
    /// Requests that wait for more of it now.
    pub waiting: usize,
    /// How often it was refused or had to wait since the last report.
    pub times: u64,
}
