//! The settings as a flat list, derived from the defaults: the name and the type of each key.

use figment::value::{Dict, Value};

use super::settings::Config;

/// The prefix of the environment variables of settings.
pub(super) const PREFIX: &str = "STOWAGE__";

/// One key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its full name: `storage.gc.promise`.
    pub key: String,
    /// Its type.
    pub kind: Kind,
    /// Its default as an environment variable would have it; empty for none.
    pub default: String,
}

/// The type of a setting: decides how its environment variable is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; sizes, durations and paths too.
    Text,
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Number,
    /// A list of texts.
    List,
}

impl Setting {
    /// The environment variable that sets it: `STOWAGE__STORAGE__GC__PROMISE`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.to_uppercase().replace('.', "__"))
    }

    /// Its table, and its name in that table.
    pub fn parts(&self) -> (&str, &str) {
        self.key.rsplit_once('.').unwrap_or(("", &self.key))
    }
}

/// Every setting there is, ordered by name.
///
/// # Panics
/// Never: the defaults are plain values.
pub fn settings() -> Vec<Setting> {
    let defaults = Value::serialize(Config::default()).expect("the defaults are plain values");
    let mut settings = Vec::new();
    if let Value::Dict(_, dict) = &defaults {
        collect(dict, "", &mut settings);
    }
    settings
}

fn collect(dict: &Dict, prefix: &str, settings: &mut Vec<Setting>) {
    for (name, value) in dict {
        let key = format!("{prefix}{name}");
        let kind = match value {
            Value::Dict(_, table) => {
                collect(table, &format!("{key}."), settings);
                continue;
            }
            Value::Bool(..) => Kind::Switch,
            Value::Num(..) => Kind::Number,
            Value::Array(..) => Kind::List,
            Value::String(..) | Value::Char(..) | Value::Empty(..) => Kind::Text,
        };
        settings.push(Setting { key, kind, default: plain(value) });
    }
}

/// The value as an environment variable would have it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Char(_, letter) => letter.to_string(),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(_, number) => number.to_u128().map_or_else(String::new, |number| number.to_string()),
        Value::Array(_, values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Empty(..) | Value::Dict(..) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_with_its_kind() {
        let list: Vec<String> = settings().iter().map(|s| format!("{} {:?}", s.key, s.kind)).collect();
        assert_eq!(
            list.join("\n"),
            "auth.admin_socket.enabled Switch\nauth.admin_socket.mode Text\nauth.admin_socket.path Text\n\
             auth.anonymous_pull Switch\nauth.initial_admin Text\nauth.initial_admin_password_file Text\nauth.token_ttl Text\n\
             limits.bodies Number\nlimits.event_streams Number\nlimits.handshakes Number\nlimits.manifest_memory Text\nlimits.refresh_tokens Number\n\
             limits.scans Number\nlimits.staged Text\nlimits.tags_per_repository Number\nlimits.upload_sessions Number\n\
             limits.upload_sessions_total Number\n\
             log.access Switch\nlog.format Text\nlog.level Text\n\
             registry.max_concurrent_uploads Number\nregistry.require_references Switch\n\
             scheduler.check Text\nscheduler.timezone Text\n\
             server.client_header_timeout Text\nserver.client_idle_timeout Text\nserver.keep_alive Text\n\
             server.listen List\nserver.max_connections Number\nserver.public_url Text\n\
             server.shutdown_grace Text\n\
             server.tls.cert_file Text\nserver.tls.key_file Text\nserver.tls.min_version Text\n\
             server.tls.mode Text\n\
             server.trusted_proxies List\nserver.workers Number\n\
             storage.blob_dir Text\nstorage.compact Text\nstorage.data_dir Text\n\
             storage.dumps.every Text\nstorage.dumps.keep Number\nstorage.gc.max_duration Text\n\
             storage.gc.promise Text\nstorage.gc.schedule Text\nstorage.gc.untagged Text\n\
             storage.gc.upload_idle Text\nstorage.metadata_cache Text\nstorage.min_free Text\n\
             storage.scrub.io_limit Text\nstorage.scrub.max_duration Text\nstorage.scrub.schedule Text\n\
             storage.trash Text\nstorage.warn_free Text"
        );
    }

    /// The type of a setting comes from its default, so a setting without one could not be set by the
    /// environment.
    #[test]
    fn no_setting_is_optional() {
        let defaults = Value::serialize(Config::default()).unwrap();
        for setting in settings() {
            assert!(!matches!(defaults.find_ref(&setting.key), Some(Value::Empty(..))), "{}", setting.key);
        }
    }
}
