//! `[server.tls]`: whether the server speaks TLS itself, and with which certificate.

use serde::{Deserialize, Serialize};

use super::secret_file::SecretFile;

/// `[server.tls]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether the listeners speak TLS.
    pub mode: TlsMode,
    /// The certificate and the intermediate ones, the own first, as PEM.
    pub cert_file: SecretFile,
    /// The private key, as PEM.
    pub key_file: SecretFile,
    /// The oldest version that clients may speak.
    pub min_version: TlsVersion,
}

/// Where TLS comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain HTTP.
    #[default]
    Off,
    /// From two PEM files.
    Files,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    V13,
}
