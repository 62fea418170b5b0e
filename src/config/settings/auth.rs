//! `[auth]`: users, passwords and tokens, and `[auth.admin_socket]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::file_mode::FileMode;
use crate::config::secret_file::SecretFile;
use crate::model::units::HumanDuration;

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
