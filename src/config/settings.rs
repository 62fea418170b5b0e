//! Every key of the configuration file, and its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::listen;
use super::log_filter::LogFilter;
use super::min_free::MinFree;
use super::secret_file::SecretFile;
use crate::model::units::ByteSize;
use crate::model::units::HumanDuration;

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
    /// `[auth]`: who may enter.
    pub auth: AuthConfig,
    /// `[log]`: what is written to stderr.
    pub log: LogConfig,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Addresses to listen on.
    #[serde(deserialize_with = "listen::addresses")]
    pub listen: Vec<SocketAddr>,
    /// Worker threads; 0: one for each core.
    pub workers: usize,
    /// Connections of the whole server; more of them wait.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: HumanDuration,
    /// How long a client may take to send the head of a request.
    pub client_header_timeout: HumanDuration,
    /// How long an upload may be idle before its connection is dropped; its session survives.
    pub client_idle_timeout: HumanDuration,
    /// How long transfers in flight may go on at a stop.
    pub shutdown_grace: HumanDuration,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// The data directory; empty: see [`data_dir`](super::data_dir).
    pub data_dir: PathBuf,
    /// The directory of blobs, uploads and quarantine; empty: the data directory.
    pub blob_dir: PathBuf,
    /// Page cache of the metadata database.
    pub metadata_cache: ByteSize,
    /// Pushes are refused while less than this is free.
    pub min_free: MinFree,
    /// `[storage.gc]`: when unused content may go.
    pub gc: GcConfig,
}

/// `[storage.gc]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcConfig {
    /// How long an answer that lets a client skip an upload is good for.
    pub promise: HumanDuration,
    /// How long an upload without a byte lives, in the server's running time.
    pub upload_idle: HumanDuration,
}

/// `[registry]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// Upload bodies received at the same time; more of them wait.
    pub max_concurrent_uploads: usize,
    /// Whether the blobs that a manifest names must exist.
    pub require_references: bool,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Name of the first admin.
    pub initial_admin: String,
    /// File with the first admin's password; empty: none.
    pub initial_admin_password_file: SecretFile,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged.
    pub level: LogFilter,
    /// How it is written.
    pub format: LogFormat,
    /// Whether each request leaves a line.
    pub access: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text: coloured on a terminal, with priorities and without times under the journal.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Plain text with times, wherever it goes.
    Text,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5000))],
            workers: 0,
            max_connections: 4096,
            keep_alive: HumanDuration::from_secs(75),
            client_header_timeout: HumanDuration::from_secs(15),
            client_idle_timeout: HumanDuration::minutes(5),
            shutdown_grace: HumanDuration::from_secs(100),
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            blob_dir: PathBuf::new(),
            metadata_cache: ByteSize::mib(24),
            min_free: MinFree::percent(5),
            gc: GcConfig::default(),
        }
    }
}

impl Default for GcConfig {
    fn default() -> Self {
        Self { promise: HumanDuration::hours(6), upload_idle: HumanDuration::hours(24) }
    }
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { max_concurrent_uploads: 64, require_references: true }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { initial_admin: "admin".to_owned(), initial_admin_password_file: SecretFile::default() }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LogFilter::default(), format: LogFormat::default(), access: true }
    }
}
