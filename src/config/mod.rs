//! The settings: their names, defaults, sources and errors.
//!
//! Layers, later ones win: defaults, the file, `conf.d/*.toml` beside it, `STOWAGE__TABLE__KEY`, flags. To
//! add a key, add it with its default in [`settings`](Config) and describe it in `config.example.toml`;
//! `tests/house/config_example.rs` then updates the reference page.

mod accounts;
mod check;
mod environment;
mod error;
mod file;
mod file_mode;
mod keep_untagged;
mod layer;
mod listen;
mod load;
mod loaded;
mod log_filter;
mod machine;
mod min_free;
mod network;
mod paths;
mod public_url;
mod regular_file;
mod reload;
mod schema;
mod secret_file;
mod settings;
mod suggest;
mod variables;
mod warnings;
mod wrong;
mod zone;

pub use accounts::{group_name, sudo_user, user_name};
pub use check::SettingProblem;
pub use environment::Environment;
pub use error::{ConfigError, FileProblem};
pub use file_mode::{FileMode, FileModeError};
pub use keep_untagged::{KeepUntagged, KeepUntaggedError};
pub use listen::parse_listen;
pub use load::{Flags, Request, load};
pub use loaded::{Loaded, Source};
pub use log_filter::{LogFilter, LogFilterError};
pub use min_free::{MinFree, MinFreeError};
pub use network::{Network, NetworkError};
pub use paths::{admin_socket, blob_dir, data_dir, own_socket};
pub use public_url::{PublicUrl, PublicUrlError, Scheme, is_authority};
pub use regular_file::{has_own_directory, open_own, open_regular};
pub use reload::{Change, Reloaded, takes_effect_at_once};
pub use schema::{Kind, Setting, settings};
pub use secret_file::{SecretFile, SecretFileError};
pub use settings::{
    AdminSocketConfig, AuthConfig, Config, DumpsConfig, GcConfig, LimitsConfig, LogConfig, LogFormat,
    RegistryConfig, SchedulerConfig, ServerConfig, StorageConfig, TlsConfig, TlsMode, TlsVersion,
};
pub use variables::VariableProblem;
pub use warnings::LISTEN as LISTEN_KEY;
pub use zone::{Zone, ZoneError};
