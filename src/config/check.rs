//! What no single value's type can say: minimums, and values that do not work.
//!
//! The command line asks before it starts anything; the parts themselves take what they are given.

use std::collections::BTreeSet;
use std::path::Path;

use super::settings::Config;
use super::tls::{TlsConfig, TlsMode};
use crate::model::manifest::MAX_MANIFEST_SIZE;
use crate::model::units::HumanDuration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const MIB: u64 = 1 << 20;

/// A value that is not safe or cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting: `storage.gc.promise`.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Config {
    /// Everything in it that is not safe or cannot work.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        self.check_server(&mut problems);
        self.check_storage(&mut problems);
        problems.at_least("registry.max_concurrent_uploads", self.registry.max_concurrent_uploads, 1);
        self.check_limits(&mut problems);
        self.check_admin(&mut problems);
        problems.0
    }

    fn check_limits(&self, problems: &mut Problems) {
        let limits = &self.limits;
        problems.at_least("limits.upload_sessions", limits.upload_sessions, 1);
        problems.at_least("limits.upload_sessions_total", limits.upload_sessions_total, 1);
        problems.at_least("limits.bodies", limits.bodies, 1);
        problems.at_least("limits.scans", limits.scans, 1);
        problems.at_least("limits.tags_per_repository", limits.tags_per_repository, 1);
        problems.at_least("limits.handshakes", limits.handshakes, 1);
        problems.at_least("limits.refresh_tokens", limits.refresh_tokens, 1);
        if limits.manifest_memory.bytes() < 2 * MAX_MANIFEST_SIZE as u64 {
            let message = format!("is {}", limits.manifest_memory);
            problems.add(
                "limits.manifest_memory",
                &message,
                "set it to 8MiB or more: two of the largest manifests",
            );
        }
    }

    fn check_server(&self, problems: &mut Problems) {
        let server = &self.server;
        if server.listen.is_empty() {
            problems.add(
                "server.listen",
                "is empty",
                "name an address, for example listen = [\"127.0.0.1:5000\"]",
            );
        }
        let mut seen = BTreeSet::new();
        for address in &server.listen {
            if address.port() != 0 && !seen.insert(address) {
                problems.add("server.listen", &format!("names {address} twice"), "keep one of them");
            }
        }
        problems.at_least("server.max_connections", server.max_connections, 1);
        problems.no_shorter("server.client_header_timeout", server.client_header_timeout, SECOND);
        problems.no_shorter("server.client_idle_timeout", server.client_idle_timeout, SECOND);
        Self::check_tls(&server.tls, problems);
    }

    // A certificate that is set and not used would send passwords in clear.
    fn check_tls(tls: &TlsConfig, problems: &mut Problems) {
        for (key, file) in tls.files() {
            if tls.is_on() && !file.is_set() {
                problems.add(key, "is empty", "name a PEM file, or set server.tls.mode = \"off\"");
            }
            if tls.mode == TlsMode::Off && file.is_set() {
                let fix = format!("remove mode = \"off\" to use the certificate, or remove {key}");
                problems.add("server.tls.mode", &format!("is \"off\", but {key} is set"), &fix);
            }
        }
    }

    fn check_storage(&self, problems: &mut Problems) {
        let storage = &self.storage;
        for (key, path) in [("storage.data_dir", &storage.data_dir), ("storage.blob_dir", &storage.blob_dir)]
        {
            if path.starts_with(Path::new("~")) {
                let fix = "only a shell knows what `~` means: write the whole path";
                problems.add(key, &format!("is {}", path.display()), fix);
            }
        }
        if storage.metadata_cache.bytes() < MIB {
            problems.add(
                "storage.metadata_cache",
                &format!("is {}", storage.metadata_cache),
                "set it to 1MiB or more",
            );
        }
        problems.no_shorter("storage.gc.promise", storage.gc.promise, HOUR);
        problems.no_shorter("storage.gc.upload_idle", storage.gc.upload_idle, HOUR);
        problems.at_least("storage.dumps.keep", storage.dumps.keep, 1);
    }

    // A colon would end the name in HTTP's Basic scheme.
    fn check_admin(&self, problems: &mut Problems) {
        let name = &self.auth.initial_admin;
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
            let fix = "use letters, digits, `-`, `_` and `.`, for example initial_admin = \"admin\"";
            problems.add("auth.initial_admin", &format!("is {name:?}"), fix);
        }
        let mode = self.auth.admin_socket.mode;
        if mode.bits() & 0o007 != 0 {
            let fix =
                "who may open the socket may do everything: end the mode with 0, for example mode = \"0660\"";
            problems.add("auth.admin_socket.mode", &format!("is {mode}"), fix);
        }
        let ttl = self.auth.token_ttl;
        if !(MINUTE..=24 * HOUR).contains(&ttl.as_secs()) {
            problems.add("auth.token_ttl", &format!("is {ttl}"), "set it to 1m or more and 24h or less");
        }
    }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: &'static str, message: &str, fix: &str) {
        self.0.push(Problem { key, message: message.to_owned(), fix: fix.to_owned() });
    }

    fn at_least(&mut self, key: &'static str, value: usize, least: usize) {
        if value < least {
            self.add(key, &format!("is {value}"), &format!("set it to {least} or more"));
        }
    }

    fn no_shorter(&mut self, key: &'static str, value: HumanDuration, least_seconds: u64) {
        // Tests of the whole program cannot wait for hours.
        let least_seconds =
            if cfg!(feature = "test-hooks") { least_seconds.min(SECOND) } else { least_seconds };
        if value.as_secs() < least_seconds {
            let least = if least_seconds == HOUR { "1h" } else { "1s" };
            self.add(key, &format!("is {value}"), &format!("set it to {least} or more"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretFile;

    #[test]
    fn the_defaults_are_safe() {
        assert_eq!(Config::default().check(), []);
    }

    #[test]
    #[cfg(not(feature = "test-hooks"))]
    fn minimums_are_named_with_the_key_and_the_value() {
        let mut config = Config::default();
        config.storage.gc.promise = "59m".parse().unwrap();
        config.storage.gc.upload_idle = "0s".parse().unwrap();
        let problems: Vec<String> =
            config.check().iter().map(|p| format!("{} {}; {}", p.key, p.message, p.fix)).collect();
        assert_eq!(
            problems,
            [
                "storage.gc.promise is 59m; set it to 1h or more",
                "storage.gc.upload_idle is 0s; set it to 1h or more",
            ]
        );
    }

    #[test]
    fn every_value_that_cannot_work_is_found() {
        let mut config = Config::default();
        config.server.listen = vec!["127.0.0.1:5000".parse().unwrap(); 2];
        config.server.max_connections = 0;
        config.server.client_header_timeout = "0s".parse().unwrap();
        config.server.client_idle_timeout = "0s".parse().unwrap();
        config.server.tls.mode = TlsMode::Files;
        config.storage.data_dir = "~/data".into();
        config.storage.blob_dir = "~/blobs".into();
        config.storage.metadata_cache = "1KiB".parse().unwrap();
        config.registry.max_concurrent_uploads = 0;
        config.auth.initial_admin = "a:b".to_owned();
        let keys: Vec<&str> = config.check().iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "server.listen",
                "server.max_connections",
                "server.client_header_timeout",
                "server.client_idle_timeout",
                "server.tls.cert_file",
                "server.tls.key_file",
                "storage.data_dir",
                "storage.blob_dir",
                "storage.metadata_cache",
                "registry.max_concurrent_uploads",
                "auth.initial_admin",
            ]
        );
        config.server.tls.mode = TlsMode::Off;
        config.server.tls.cert_file = SecretFile::new("/cert.pem");
        let problems = config.check();
        let mode = problems.iter().find(|problem| problem.key == "server.tls.mode").unwrap();
        assert_eq!(mode.message, "is \"off\", but server.tls.cert_file is set");
        config.server.tls.mode = TlsMode::Auto;
        assert!(config.check().iter().any(|problem| problem.key == "server.tls.key_file"), "half a pair");
        config.server.listen.clear();
        assert_eq!(config.check()[0].message, "is empty");
        config.server.listen = vec!["127.0.0.1:0".parse().unwrap(); 2];
        assert_ne!(config.check()[0].key, "server.listen");
    }
}
