//! `[server.tls]`: whether the server speaks TLS itself, and with which certificate.

use serde::{Deserialize, Serialize};

use crate::config::secret_file::SecretFile;

/// `[server.tls]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether the listeners speak TLS.
    pub mode: TlsMode,
    /// The certificate chain as PEM, the server's own certificate first.
    pub cert_file: SecretFile,
    /// The private key, as PEM.
    pub key_file: SecretFile,
    /// The oldest version that clients may speak.
    pub min_version: TlsVersion,
}

/// The source of the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// From two PEM files when they are set, else plain HTTP.
    #[default]
    Auto,
    /// Plain HTTP.
    Off,
    /// From two PEM files.
    Files,
}

impl TlsConfig {
    /// Whether the listeners speak TLS.
    pub fn is_on(&self) -> bool {
        match self.mode {
            TlsMode::Auto => self.cert_file.is_set() || self.key_file.is_set(),
            TlsMode::Off => false,
            TlsMode::Files => true,
        }
    }

    /// Both files, each with the key of its setting.
    pub(in crate::config) fn files(&self) -> [(&'static str, &SecretFile); 2] {
        [("server.tls.cert_file", &self.cert_file), ("server.tls.key_file", &self.key_file)]
    }
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
