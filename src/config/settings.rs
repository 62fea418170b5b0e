//! Every key of the configuration file, and its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file_mode::FileMode;
use super::limits::LimitsConfig;
use super::listen;
use super::log_filter::LogFilter;
use super::min_free::MinFree;
use super::network::Network;
use super::public_url::PublicUrl;
use super::secret_file::SecretFile;
use super::tls::TlsConfig;
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
    /// `[limits]`: what one principal may make the server hold.
    pub limits: LimitsConfig,
    /// `[auth]`: users, passwords and tokens.
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
    /// Under which address clients know the server; empty: as each request says.
    pub public_url: PublicUrl,
    /// Proxies whose headers about the client are accepted.
    pub trusted_proxies: Vec<Network>,
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
    /// `[server.tls]`: TLS without a proxy.
    pub tls: TlsConfig,
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
    /// `[storage.dumps]`: copies of the metadata.
    pub dumps: DumpsConfig,
}

/// `[storage.gc]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcConfig {
    /// How long a blob stays after a client was told that it need not upload it.
    pub promise: HumanDuration,
    /// How long an upload without a byte lives, in the server's running time.
    pub upload_idle: HumanDuration,
}

/// `[storage.dumps]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DumpsConfig {
    /// How often a dump is made; zero: never.
    pub every: HumanDuration,
    /// How many dumps are kept; at least one is.
    pub keep: usize,
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
    /// Whether images can be pulled without signing in.
    pub anonymous_pull: bool,
    /// How long registry tokens are valid; clients renew them, and long pushes are not cut off.
    pub token_ttl: HumanDuration,
    /// Name of the first admin.
    pub initial_admin: String,
    /// File with the first admin's password; empty: none.
    pub initial_admin_password_file: SecretFile,
    /// `[auth.admin_socket]`: the Unix socket of the command line.
    pub admin_socket: AdminSocketConfig,
}

/// `[auth.admin_socket]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSocketConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Where it is; empty: see [`admin_socket`](super::admin_socket).
    pub path: PathBuf,
    /// The mode of its file: a user who can open it has every permission.
    pub mode: FileMode,
}

impl Default for AdminSocketConfig {
    fn default() -> Self {
        Self { enabled: true, path: PathBuf::new(), mode: FileMode::new(0o660) }
    }
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
            public_url: PublicUrl::default(),
            trusted_proxies: Network::loopback(),
            workers: 0,
            max_connections: 4096,
            keep_alive: HumanDuration::from_secs(75),
            client_header_timeout: HumanDuration::from_secs(15),
            client_idle_timeout: HumanDuration::minutes(5),
            shutdown_grace: HumanDuration::from_secs(100),
            tls: TlsConfig::default(),
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
            dumps: DumpsConfig::default(),
        }
    }
}

impl Default for GcConfig {
    fn default() -> Self {
        Self { promise: HumanDuration::hours(6), upload_idle: HumanDuration::hours(24) }
    }
}

impl Default for DumpsConfig {
    fn default() -> Self {
        Self { every: HumanDuration::hours(1), keep: 24 }
    }
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { max_concurrent_uploads: 64, require_references: true }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            anonymous_pull: false,
            token_ttl: HumanDuration::minutes(5),
            initial_admin: "admin".to_owned(),
            initial_admin_password_file: SecretFile::default(),
            admin_socket: AdminSocketConfig::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LogFilter::default(), format: LogFormat::default(), access: true }
    }
}
