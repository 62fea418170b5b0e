//! Checks of values that types cannot make: minimums, and values that do not work on this computer.
//!
//! The command line runs them before it starts anything; the parts of the server do not check again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::loaded::Source;
use super::machine::Machine;
use super::secret_file::SecretFile;
use super::settings::{Config, TlsConfig, TlsMode};
use crate::model::manifest::MAX_MANIFEST_SIZE;
use crate::model::units::{HumanDuration, human_size};

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const MIB: u64 = 1 << 20;
/// A scrub that reads less in a second never comes to an end.
const LEAST_RATE: u64 = 64 << 10;
/// More threads than this only take memory.
const MAX_WORKERS: usize = 1024;
/// The most files that Linux lets a process open.
const MAX_COUNT: usize = 1 << 20;

/// A value that is not safe or cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting: `storage.gc.promise`.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Config {
    /// Every value that is not safe or cannot work on this computer.
    pub fn check(&self) -> Vec<SettingProblem> {
        self.check_on(Machine::this())
    }

    fn check_on(&self, machine: Machine) -> Vec<SettingProblem> {
        let mut problems = Problems(Vec::new());
        self.check_server(&mut problems);
        self.check_storage(&mut problems);
        self.check_memory(machine, &mut problems);
        let uploads = self.registry.max_concurrent_uploads;
        problems.between("registry.max_concurrent_uploads", uploads, 1, MAX_COUNT);
        self.check_limits(&mut problems);
        self.check_admin(&mut problems);
        problems.0
    }

    /// Memory that the computer does not have ends the process when it is used, long after the start. The
    /// defaults are not checked, because a small container may never use that much.
    fn check_memory(&self, machine: Machine, problems: &mut Problems) {
        let Some(memory) = machine.memory else { return };
        let usual = Self::default();
        for (key, size, usual) in [
            ("storage.metadata_cache", self.storage.metadata_cache, usual.storage.metadata_cache),
            ("limits.manifest_memory", self.limits.manifest_memory, usual.limits.manifest_memory),
        ] {
            if size.bytes() > memory && size != usual {
                let message = format!("is {size}, and this computer has {} of memory", human_size(memory));
                problems.add(key, &message, "set it to a small part of the memory");
            }
        }
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
        problems.at_least("limits.event_streams", limits.event_streams, 1);
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
        problems.between("server.max_connections", server.max_connections, 1, MAX_COUNT);
        problems.between("server.workers", server.workers, 0, MAX_WORKERS);
        problems.no_shorter("server.client_header_timeout", server.client_header_timeout, SECOND);
        problems.no_shorter("server.client_idle_timeout", server.client_idle_timeout, SECOND);
        Self::check_tls(&server.tls, problems);
    }

    // A certificate that is set but not used would mean that passwords are sent in clear text.
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
        let rate = storage.scrub.io_limit;
        if (1..LEAST_RATE).contains(&rate.bytes()) {
            let fix = "set it to 64KiB or more, such as \"50MiB\", or to \"0\" for no limit";
            problems.add("storage.scrub.io_limit", &format!("is {rate}"), fix);
        }
    }

    // In HTTP's Basic scheme the name ends at the first colon.
    fn check_admin(&self, problems: &mut Problems) {
        let name = &self.auth.initial_admin;
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
            let fix = "use letters, digits, `-`, `_` and `.`, for example initial_admin = \"admin\"";
            problems.add("auth.initial_admin", &format!("is {name:?}"), fix);
        }
        let mode = self.auth.admin_socket.mode;
        if mode.bits() & 0o007 != 0 {
            let fix = "a user who can open the socket has every permission: end the mode with 0, for example mode = \"0660\"";
            problems.add("auth.admin_socket.mode", &format!("is {mode}"), fix);
        }
        let ttl = self.auth.token_ttl;
        if !(MINUTE..=24 * HOUR).contains(&ttl.as_secs()) {
            problems.add("auth.token_ttl", &format!("is {ttl}"), "set it to 1m or more and 24h or less");
        }
    }
}

/// Relative paths in files and variables. The server and the commands start in different directories, and
/// would look for the data in different places. On a command line a relative path is clear.
pub(super) fn relative_paths(config: &Config, source: impl Fn(&str) -> Source) -> Vec<SettingProblem> {
    let file = |file: &SecretFile| {
        let is_path = file.is_set() && !file.is_credential();
        PathBuf::from(if is_path { file.to_string() } else { String::new() })
    };
    let mut problems = Problems(Vec::new());
    for (key, path) in [
        ("storage.data_dir", config.storage.data_dir.clone()),
        ("storage.blob_dir", config.storage.blob_dir.clone()),
        ("auth.admin_socket.path", config.auth.admin_socket.path.clone()),
        ("auth.initial_admin_password_file", file(&config.auth.initial_admin_password_file)),
        ("server.tls.cert_file", file(&config.server.tls.cert_file)),
        ("server.tls.key_file", file(&config.server.tls.key_file)),
    ] {
        if path.as_os_str().is_empty() || path.is_absolute() || matches!(source(key), Source::Flag(_)) {
            continue;
        }
        let shown = path.display();
        if path.starts_with(Path::new("~")) {
            problems.add(
                key,
                &format!("is {shown}"),
                "only a shell knows what `~` means: write the whole path",
            );
            continue;
        }
        let whole = std::path::absolute(&path).unwrap_or_else(|_| Path::new("/").join(&path));
        let name = key.rsplit('.').next().unwrap_or(key);
        let fix = format!("write the whole path, for example {name} = \"{}\"", whole.display());
        problems.add(key, &format!("is {shown}, a relative path"), &fix);
    }
    problems.0
}

struct Problems(Vec<SettingProblem>);

impl Problems {
    fn add(&mut self, key: &'static str, message: &str, fix: &str) {
        self.0.push(SettingProblem { key, message: message.to_owned(), fix: fix.to_owned() });
    }

    fn between(&mut self, key: &'static str, value: usize, least: usize, most: usize) {
        self.at_least(key, value, least);
        if value > most {
            self.add(key, &format!("is {value}"), &format!("set it to {most} or less"));
        }
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
    fn what_the_machine_cannot_hold_is_refused() {
        let mut config = Config::default();
        config.storage.metadata_cache = "2GiB".parse().unwrap();
        let check = |memory| config.check_on(Machine { memory });
        assert_eq!(check(Some(2 << 30)), []);
        assert_eq!(check(None), []);
        assert_eq!(
            Config::default().check_on(Machine { memory: Some(16 << 20) }),
            [],
            "the defaults are left"
        );
        let problems = check(Some(1 << 30));
        assert_eq!(problems[0].message, "is 2GiB, and this computer has 1 GiB of memory");
    }

    #[test]
    fn relative_paths_are_refused_but_as_flags() {
        let mut config = Config::default();
        config.storage.data_dir = "data".into();
        config.storage.blob_dir = "~/blobs".into();
        config.server.tls.cert_file = SecretFile::new("credential:cert");
        config.server.tls.key_file = SecretFile::new("/key.pem");
        let keys = |source: Source| -> Vec<&str> {
            relative_paths(&config, |_| source.clone()).iter().map(|problem| problem.key).collect()
        };
        assert_eq!(keys(Source::Variable("X".to_owned())), ["storage.data_dir", "storage.blob_dir"]);
        assert_eq!(keys(Source::Flag("--data-dir")), [] as [&str; 0]);
    }

    #[test]
    fn every_value_that_cannot_work_is_found() {
        let mut config = Config::default();
        config.server.listen = vec!["127.0.0.1:5000".parse().unwrap(); 2];
        config.server.max_connections = 0;
        config.server.client_header_timeout = "0s".parse().unwrap();
        config.server.client_idle_timeout = "0s".parse().unwrap();
        config.server.tls.mode = TlsMode::Files;
        config.storage.metadata_cache = "1KiB".parse().unwrap();
        config.storage.scrub.io_limit = "50".parse().unwrap();
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
                "storage.metadata_cache",
                "storage.scrub.io_limit",
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
