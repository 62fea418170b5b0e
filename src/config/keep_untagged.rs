//! How long manifests stay that no tag leads to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::units::HumanDuration;

/// `"14d"`, or `"never"`: such manifests are never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepUntagged {
    /// They are deleted after this time.
    For(HumanDuration),
    /// They stay.
    Forever,
}

const NEVER: &str = "never";

/// The text is neither a duration nor `never`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a duration such as `14d` nor `never`")]
pub struct KeepUntaggedError(String);

impl KeepUntagged {
    /// The time in seconds; `None`: they stay.
    pub const fn seconds(self) -> Option<u64> {
        match self {
            Self::For(duration) => Some(duration.as_secs()),
            Self::Forever => None,
        }
    }
}

impl FromStr for KeepUntagged {
    type Err = KeepUntaggedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == NEVER {
            return Ok(Self::Forever);
        }
        text.parse().map(Self::For).map_err(|_| KeepUntaggedError(text.to_owned()))
    }
}

impl fmt::Display for KeepUntagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(duration) => duration.fmt(f),
            Self::Forever => f.write_str(NEVER),
        }
    }
}

impl Serialize for KeepUntagged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeepUntagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_never_are_read_and_written_back() {
        for (text, seconds) in [("14d", Some(1_209_600)), ("0s", Some(0)), ("never", None)] {
            let keep: KeepUntagged = text.parse().unwrap();
            assert_eq!((keep.to_string().as_str(), keep.seconds()), (text, seconds));
        }
        for text in ["", "always", "14", "Never", "-1d"] {
            let error = text.parse::<KeepUntagged>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is neither a duration such as `14d` nor `never`"));
        }
    }
}
