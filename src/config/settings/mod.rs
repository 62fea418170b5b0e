//! Every key of the configuration file, and its default: one file for each table.

mod auth;
mod limits;
mod log;
mod registry;
mod scheduler;
mod server;
mod storage;
mod tls;

use serde::{Deserialize, Serialize};

pub use self::auth::{AdminSocketConfig, AuthConfig};
pub use self::limits::LimitsConfig;
pub use self::log::{LogConfig, LogFormat};
pub use self::registry::RegistryConfig;
pub use self::scheduler::SchedulerConfig;
pub use self::server::ServerConfig;
pub use self::storage::{DumpsConfig, GcConfig, StorageConfig};
pub use self::tls::{TlsConfig, TlsMode, TlsVersion};

/// The whole configuration. A file with nothing in it is a valid one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`: addresses, workers and times.
    pub server: ServerConfig,
    /// `[storage]`: where the data is.
    pub storage: StorageConfig,
    /// `[registry]`: what is accepted.
    pub registry: RegistryConfig,
    /// `[scheduler]`: when recurring jobs run.
    pub scheduler: SchedulerConfig,
    /// `[limits]`: what one principal may make the server hold.
    pub limits: LimitsConfig,
    /// `[auth]`: users, passwords and tokens.
    pub auth: AuthConfig,
    /// `[log]`: what is written to stderr.
    pub log: LogConfig,
}
