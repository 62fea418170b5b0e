//! Reloading the configuration: which settings take effect at once, and which wait for a restart.

use figment::value::{Dict, Value};

use super::schema;
use super::settings::Config;

/// The settings that a reload changes; `config.example.toml` marks them with `(reload)`.
const AT_ONCE: &[&str] = &[
    "auth.anonymous_pull",
    "auth.token_ttl",
    "limits.bodies",
    "limits.event_streams",
    "limits.handshakes",
    "limits.manifest_memory",
    "limits.refresh_tokens",
    "limits.scans",
    "limits.staged",
    "limits.tags_per_repository",
    "limits.upload_sessions",
    "limits.upload_sessions_total",
    "log.access",
    "log.level",
    "registry.max_concurrent_uploads",
    "registry.require_references",
    "scheduler.check",
    "scheduler.timezone",
    "server.client_idle_timeout",
    "server.public_url",
    "server.tls.cert_file",
    "server.tls.key_file",
    "server.trusted_proxies",
    "storage.compact",
    "storage.dumps.every",
    "storage.dumps.keep",
    "storage.gc.max_duration",
    "storage.gc.promise",
    "storage.gc.schedule",
    "storage.gc.untagged",
    "storage.gc.upload_idle",
    "storage.min_free",
    "storage.scrub.io_limit",
    "storage.scrub.max_duration",
    "storage.scrub.schedule",
    "storage.trash",
    "storage.warn_free",
];

/// A setting whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its full name: `log.level`.
    pub key: String,
    /// The value until now.
    pub old: String,
    /// What the configuration says now.
    pub new: String,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Reloaded {
    /// The effective settings from now on.
    pub config: Config,
    /// Changes that took effect.
    pub changed: Vec<Change>,
    /// Changes that wait for a restart; the old value stays in effect.
    pub waiting: Vec<Change>,
}

/// Whether a change of this setting takes effect without a restart.
pub fn takes_effect_at_once(key: &str) -> bool {
    AT_ONCE.contains(&key)
}

impl Config {
    /// The effective settings after `new` was read by a server that runs with this configuration.
    ///
    /// # Panics
    /// Never: both configurations were made from plain values.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> Reloaded {
        // The files of a certificate change together with the mode that they belong to.
        let same_mode = self.server.tls.is_on() == new.server.tls.is_on();
        let at_once = |key: &str| takes_effect_at_once(key) && (same_mode || !key.starts_with("server.tls."));
        let (old, new) = (plain(self), plain(new));
        let mut next = old.clone();
        let (mut changed, mut waiting) = (Vec::new(), Vec::new());
        for key in schema::settings().into_iter().map(|setting| setting.key) {
            let (Some(before), Some(after)) = (find(&old, &key), find(&new, &key)) else { continue };
            if before == after {
                continue;
            }
            let change = Change { old: show(before), new: show(after), key };
            if at_once(&change.key) {
                put(&mut next, &change.key, after.clone());
                changed.push(change);
            } else {
                waiting.push(change);
            }
        }
        let config = Value::from(next).deserialize().expect("values of two valid configurations");
        Reloaded { config, changed, waiting }
    }
}

fn plain(config: &Config) -> Dict {
    let value = Value::serialize(config).expect("a configuration is plain values");
    value.into_dict().expect("a configuration is a table")
}

fn find<'a>(dict: &'a Dict, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((table, rest)) => find(dict.get(table)?.as_dict()?, rest),
        None => dict.get(key),
    }
}

fn put(dict: &mut Dict, key: &str, value: Value) {
    match key.split_once('.') {
        Some((table, rest)) => {
            if let Some(Value::Dict(_, inner)) = dict.get_mut(table) {
                put(inner, rest, value);
            }
        }
        None => {
            dict.insert(key.to_owned(), value);
        }
    }
}

/// The value as a configuration file would have it, in one line.
fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("\"{letter}\""),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(_, number) => {
            number.to_u128().map_or_else(|| format!("{number:?}"), |number| number.to_string())
        }
        Value::Array(_, values) => {
            let values: Vec<String> = values.iter().map(show).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Empty(..) | Value::Dict(..) => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SecretFile, TlsMode};

    fn lines(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| format!("{} {} {}", change.key, change.old, change.new)).collect()
    }

    #[test]
    fn every_setting_that_takes_effect_at_once_exists() {
        let settings: Vec<String> = schema::settings().into_iter().map(|setting| setting.key).collect();
        for key in AT_ONCE {
            assert!(settings.iter().any(|setting| setting == key), "{key}");
        }
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let config = Config::default();
        let reloaded = config.reloaded(&Config::default());
        assert_eq!(reloaded, Reloaded { config, changed: vec![], waiting: vec![] });
    }

    #[test]
    fn what_can_change_changes_and_the_rest_waits() {
        let old = Config::default();
        let mut new = Config::default();
        new.log.level = "debug".parse().unwrap();
        new.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        new.server.workers = 3;
        new.server.listen = vec!["127.0.0.1:5001".parse().unwrap()];
        new.storage.metadata_cache = "48MiB".parse().unwrap();
        let reloaded = old.reloaded(&new);
        assert_eq!(
            lines(&reloaded.changed),
            [
                r#"log.level "info" "debug""#,
                r#"server.trusted_proxies ["127.0.0.0/8", "::1"] ["127.0.0.1", "10.0.0.0/8"]"#
            ]
        );
        assert_eq!(
            lines(&reloaded.waiting),
            [
                r#"server.listen ["127.0.0.1:5000"] ["127.0.0.1:5001"]"#,
                "server.workers 0 3",
                r#"storage.metadata_cache "24MiB" "48MiB""#,
            ]
        );
        let mut expected = old.clone();
        expected.log.level = new.log.level.clone();
        expected.server.trusted_proxies = new.server.trusted_proxies.clone();
        assert_eq!(reloaded.config, expected);
    }

    #[test]
    fn a_certificate_does_not_go_before_its_mode_does() {
        let mut old = Config::default();
        old.server.tls.mode = TlsMode::Files;
        old.server.tls.cert_file = SecretFile::new("/cert");
        let mut new = old.clone();
        new.server.tls.cert_file = SecretFile::new("/other");
        assert_eq!(lines(&old.reloaded(&new).changed), [r#"server.tls.cert_file "/cert" "/other""#]);
        let reloaded = old.reloaded(&Config::default());
        assert_eq!(reloaded.config, old);
        assert_eq!(
            lines(&reloaded.waiting),
            [r#"server.tls.cert_file "/cert" """#, r#"server.tls.mode "files" "auto""#]
        );
    }
}
