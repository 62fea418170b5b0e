//! The limits that the settings define.

use super::resource::{COUNT, Resource};
use crate::config::Config;

/// The limit of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What one principal may hold.
    pub each: u64,
    /// What all of them may hold together.
    pub total: u64,
    /// The setting of the first.
    pub setting: &'static str,
    /// The setting of the second.
    pub total_setting: &'static str,
}

/// The limit of every resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([Limit; COUNT]);

impl Limits {
    /// As the settings say.
    pub fn of(config: &Config) -> Self {
        Self(Resource::ALL.map(|resource| limit(config, resource)))
    }

    /// The limit of one resource.
    pub const fn get(&self, resource: Resource) -> Limit {
        self.0[resource.index()]
    }

    /// The same limits, but for one resource.
    #[must_use]
    pub const fn with(mut self, resource: Resource, limit: Limit) -> Self {
        self.0[resource.index()] = limit;
        self
    }

    /// The same limits for a process that can have only this many connections.
    #[must_use]
    pub(super) fn within(mut self, connections: usize) -> Self {
        for resource in [Resource::Connections, Resource::UserConnections, Resource::SilentConnections] {
            let limit = &mut self.0[resource.index()];
            limit.each = limit.each.min(share(resource, connections));
        }
        let silent = &mut self.0[Resource::SilentConnections.index()];
        silent.total = silent.total.min(silent.each);
        self
    }
}

/// The share of all connections that one principal may have: half for an address, a third for a user. A
/// client that has both still leaves a sixth to others.
fn share(resource: Resource, connections: usize) -> u64 {
    let part = if resource == Resource::UserConnections { 3 } else { 2 };
    connections.div_ceil(part) as u64
}

fn limit(config: &Config, resource: Resource) -> Limit {
    let limits = &config.limits;
    let count = |number: usize| number as u64;
    let half = |number: usize| number.div_ceil(2) as u64;
    match resource {
        Resource::UploadSessions => Limit {
            each: count(limits.upload_sessions),
            total: count(limits.upload_sessions_total),
            setting: "limits.upload_sessions",
            total_setting: "limits.upload_sessions_total",
        },
        Resource::StagedBytes => Limit {
            each: limits.staged.bytes(),
            total: u64::MAX,
            setting: "limits.staged",
            total_setting: "storage.min_free",
        },
        Resource::Bodies => Limit {
            each: count(limits.bodies),
            total: u64::MAX,
            setting: "limits.bodies",
            total_setting: "server.max_connections",
        },
        Resource::BodyPlaces => Limit {
            each: half(config.registry.max_concurrent_uploads),
            total: count(config.registry.max_concurrent_uploads),
            setting: "registry.max_concurrent_uploads",
            total_setting: "registry.max_concurrent_uploads",
        },
        Resource::Scans => Limit {
            each: half(limits.scans),
            total: count(limits.scans),
            setting: "limits.scans",
            total_setting: "limits.scans",
        },
        Resource::ManifestBytes | Resource::SmallBodyBytes => Limit {
            each: limits.manifest_memory.bytes().div_ceil(2),
            total: limits.manifest_memory.bytes(),
            setting: "limits.manifest_memory",
            total_setting: "limits.manifest_memory",
        },
        // One share for all trusted proxies together: a local process can use as many addresses as it likes.
        Resource::SilentConnections => Limit {
            each: share(resource, config.server.max_connections),
            total: share(resource, config.server.max_connections),
            setting: "server.max_connections",
            total_setting: "server.max_connections",
        },
        Resource::Connections | Resource::UserConnections => Limit {
            each: share(resource, config.server.max_connections),
            total: u64::MAX,
            setting: "server.max_connections",
            total_setting: "server.max_connections",
        },
        Resource::Handshakes | Resource::LongHellos => Limit {
            each: half(limits.handshakes),
            total: count(limits.handshakes),
            setting: "limits.handshakes",
            total_setting: "limits.handshakes",
        },
        Resource::EventStreams => Limit {
            each: count(limits.event_streams),
            total: count(limits.event_streams).saturating_mul(16),
            setting: "limits.event_streams",
            total_setting: "limits.event_streams",
        },
    }
}
