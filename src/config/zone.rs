//! The time zone of a setting. Its data are part of the program, so a computer without tzdata has every zone.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase, db};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest edit distance at which a name is suggested.
const CLOSE: usize = 2;

/// A time zone by its name in the IANA database, such as `UTC` or `Europe/Berlin`.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

/// The text is not the name of a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// A name that is close to another one.
    #[error("`{name}` is not a time zone; did you mean {close}?")]
    Close {
        /// What was written, shortened.
        name: String,
        /// A zone with nearly this name.
        close: String,
    },
    /// Another text.
    #[error("`{0}` is not a time zone: write a name of the IANA database, such as UTC or Europe/Berlin")]
    Unknown(String),
}

impl Zone {
    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The zone itself.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        // The zones of this computer come first: they may be newer than the program.
        let found = db().get(text).or_else(|_| TimeZoneDatabase::bundled().get(text));
        match found {
            // A name that stands for no zone in particular.
            Ok(zone) if !zone.is_unknown() => {
                let name = zone.iana_name().unwrap_or(text).to_owned();
                Ok(Self { name, zone })
            }
            _ => Err(unknown(text)),
        }
    }
}

fn unknown(text: &str) -> ZoneError {
    let lower = text.to_ascii_lowercase();
    let distance = |name: &str| strsim::levenshtein(&lower, &name.to_ascii_lowercase());
    let bundled = TimeZoneDatabase::bundled();
    // A long text is close to no name, and takes long to compare.
    let names = bundled.available().filter(|name| text.len() <= name.as_str().len() + CLOSE);
    let close = names.map(|name| (distance(name.as_str()), name.as_str().to_owned())).min();
    let name = text.chars().take(80).collect();
    match close {
        Some((distance, close)) if distance <= CLOSE && distance * 2 <= close.len() => {
            ZoneError::Close { name, close }
        }
        _ => ZoneError::Unknown(name),
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_in_any_case_and_written_with_their_names() {
        for (text, name) in [
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("Europe/Berlin", "Europe/Berlin"),
            ("america/new_york", "America/New_York"),
        ] {
            let zone: Zone = text.parse().unwrap();
            assert_eq!(zone.to_string(), name);
            assert_eq!(name.parse::<Zone>().unwrap(), zone);
        }
        assert_eq!(Zone::utc(), "UTC".parse().unwrap());
    }

    #[test]
    fn the_program_has_zones_without_those_of_the_computer() {
        let berlin = TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
        let summer = berlin.to_datetime("2026-07-01T00:00:00Z".parse().unwrap());
        assert_eq!(summer.to_string(), "2026-07-01T02:00:00");
    }

    #[test]
    fn what_is_no_zone_is_named() {
        for (text, why) in [
            ("Europe/Berln", "`Europe/Berln` is not a time zone; did you mean Europe/Berlin?"),
            ("UCT0", "did you mean"),
            ("", "write a name of the IANA database"),
            ("local", "write a name of the IANA database"),
            ("+02:00", "write a name of the IANA database"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "write a name of the IANA database"),
            ("Etc/Unknown", "is not a time zone"),
            ("../../etc/passwd", "write a name of the IANA database"),
        ] {
            let error = text.parse::<Zone>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!("x".repeat(1_000_000).parse::<Zone>().unwrap_err().to_string().len() < 200);
    }
}
