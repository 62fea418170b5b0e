//! The filter of the log: a level, and separate levels for parts of the program.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::level_filters::LevelFilter;

/// `"info"`, or `"info,stowage::store=debug"`. Without a bare level the default is `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    default: LevelFilter,
    targets: Vec<(String, LevelFilter)>,
}

/// Why a text is not a log filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogFilterError {
    /// Not one of the six words.
    #[error("`{0}` is not a log level; use error, warn, info, debug, trace or off")]
    Level(String),
    /// The text before the `=` is empty or cannot be a module path.
    #[error("`{0}` is not the name of a part of the program; write for example `info,stowage::store=debug`")]
    Target(String),
    /// Two bare levels.
    #[error("`{0}` is a second level for everything; keep one")]
    Twice(String),
}

impl LogFilter {
    /// The level of everything without a level of its own.
    pub fn default_level(&self) -> LevelFilter {
        self.default
    }

    /// Parts with a level of their own: module paths and their levels.
    pub fn targets(&self) -> &[(String, LevelFilter)] {
        &self.targets
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self { default: LevelFilter::INFO, targets: Vec::new() }
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut default = None;
        let mut targets = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => {
                    if default.replace(level(part)?).is_some() {
                        return Err(LogFilterError::Twice(part.to_owned()));
                    }
                }
                Some((target, value)) if is_path(target) => targets.push((target.to_owned(), level(value)?)),
                Some((target, _)) => return Err(LogFilterError::Target(target.to_owned())),
            }
        }
        Ok(Self { default: default.unwrap_or(LevelFilter::INFO), targets })
    }
}

// tracing's parser would also accept numbers and an empty text, and take a misspelt level for a target.
fn level(text: &str) -> Result<LevelFilter, LogFilterError> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        "off" => Ok(LevelFilter::OFF),
        _ => Err(LogFilterError::Level(text.to_owned())),
    }
}

fn is_path(text: &str) -> bool {
    let name = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split("::").all(name)
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.default)?;
        self.targets.iter().try_for_each(|(target, level)| write!(f, ",{target}={level}"))
    }
}

impl Serialize for LogFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_and_levels_of_parts_are_read_and_written_back() {
        for text in ["info", "off", "debug,stowage::store=trace", "warn,stowage=debug,actix_server=error"] {
            assert_eq!(text.parse::<LogFilter>().unwrap().to_string(), text);
        }
        assert_eq!(
            "stowage::http=debug".parse::<LogFilter>().unwrap().to_string(),
            "info,stowage::http=debug"
        );
        assert_eq!("INFO, stowage=debug".parse::<LogFilter>().unwrap().to_string(), "info,stowage=debug");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<LogFilter>().unwrap_err().to_string();
        assert_eq!(error("debg"), "`debg` is not a log level; use error, warn, info, debug, trace or off");
        assert_eq!(error(""), "`` is not a log level; use error, warn, info, debug, trace or off");
        assert_eq!(error("3"), "`3` is not a log level; use error, warn, info, debug, trace or off");
        assert_eq!(
            error("info,stowage=loud"),
            "`loud` is not a log level; use error, warn, info, debug, trace or off"
        );
        assert!(error("info,a b=debug").starts_with("`a b` is not the name of a part"));
        assert_eq!(error("info,debug"), "`debug` is a second level for everything; keep one");
    }
}
