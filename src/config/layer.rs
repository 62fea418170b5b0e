//! One layer of settings, for figment to merge.

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::settings::Config;

/// The lowest layer: the defaults.
pub(super) fn defaults() -> Serialized<Config> {
    Serialized::defaults(Config::default())
}

/// The values of one layer, for figment.
pub(super) struct Layer(Dict);

impl Layer {
    pub(super) const fn of(values: Dict) -> Self {
        Self(values)
    }

    /// A layer with one value, at the dotted path `key`.
    pub(super) fn one(key: &str, value: Value) -> Self {
        let mut names = key.rsplit('.');
        let last = names.next().unwrap_or(key);
        let innermost = Dict::from([(last.to_owned(), value)]);
        Self(names.fold(innermost, |inner, name| Dict::from([(name.to_owned(), inner.into())])))
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("settings")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
