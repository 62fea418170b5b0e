//! How much of a disk must stay free: a size, or a share of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::units::ByteSize;

/// `"5%"` or `"10GiB"`; `"0"` means no minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinFree(Amount);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Size(ByteSize),
    /// 0 to 99.
    Percent(u8),
}

/// The text is not a share of a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MinFreeError {
    /// Neither a size nor a percentage.
    #[error("`{0}` is neither a size like `10GiB` nor a percentage from `0%` to `99%`")]
    Malformed(String),
    /// A number without a unit, which could be meant as bytes or as a percentage.
    #[error("`{0}` has no unit: write `{0}%` or `{0}GiB`")]
    NoUnit(String),
}

impl MinFree {
    /// Bytes that must stay free on a disk of `total` bytes.
    pub fn of(self, total: u64) -> u64 {
        match self.0 {
            Amount::Size(size) => size.bytes(),
            Amount::Percent(percent) => {
                total / 100 * u64::from(percent) + total % 100 * u64::from(percent) / 100
            }
        }
    }

    /// Whether this is certainly not more than `other`, on any disk.
    pub(super) const fn is_at_most(self, other: Self) -> bool {
        match (self.0, other.0) {
            (Amount::Size(this), Amount::Size(other)) => this.bytes() <= other.bytes(),
            (Amount::Percent(this), Amount::Percent(other)) => this <= other,
            _ => false,
        }
    }

    /// Whether it is no minimum at all.
    pub(super) const fn is_nothing(self) -> bool {
        matches!(self.0, Amount::Percent(0)) || matches!(self.0, Amount::Size(size) if size.bytes() == 0)
    }

    pub(super) const fn percent(percent: u8) -> Self {
        Self(Amount::Percent(percent))
    }
}

impl FromStr for MinFree {
    type Err = MinFreeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MinFreeError::Malformed(text.to_owned());
        // Permits a space before the unit, as sizes and durations do.
        match text.trim().strip_suffix('%').map(str::trim_end) {
            Some(number) if number.len() <= 2 && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().map(Self::percent).map_err(|_| error())
            }
            Some(_) => Err(error()),
            None if text.trim().bytes().all(|byte| byte.is_ascii_digit())
                && text.contains(|c: char| c > '0') =>
            {
                Err(MinFreeError::NoUnit(text.trim().to_owned()))
            }
            None => text.parse().map(|size| Self(Amount::Size(size))).map_err(|_| error()),
        }
    }
}

impl fmt::Display for MinFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Amount::Size(size) => size.fmt(f),
            Amount::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for MinFree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MinFree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_percentages_are_read_and_written_back() {
        for (text, of_10_gib) in [("5%", 536_870_912), ("0%", 0), ("99%", 10_630_044_057), ("2GiB", 2 << 30)]
        {
            let min_free: MinFree = text.parse().unwrap();
            assert_eq!(min_free.to_string(), text);
            assert_eq!(min_free.of(10 << 30), of_10_gib, "{text}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "%", "100%", "-1%", "+5%", "5 5%", "five", "5,5%"] {
            let error = text.parse::<MinFree>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is neither")), "{error}");
        }
    }

    #[test]
    fn a_number_needs_a_unit_but_for_nothing() {
        for text in ["5", " 5", "05", "1073741824"] {
            let error = text.parse::<MinFree>().unwrap_err().to_string();
            let number = text.trim();
            assert_eq!(error, format!("`{number}` has no unit: write `{number}%` or `{number}GiB`"));
        }
        assert_eq!("5 %".parse::<MinFree>(), "5%".parse::<MinFree>());
        assert_eq!(" 5% ".parse::<MinFree>(), "5%".parse::<MinFree>());
        assert_eq!("5 GiB".parse::<MinFree>(), "5GiB".parse::<MinFree>());
        assert_eq!("0".parse::<MinFree>().unwrap().of(1 << 40), 0);
        assert_eq!("5B".parse::<MinFree>().unwrap().of(1 << 40), 5);
    }

    #[test]
    fn a_share_of_a_huge_disk_does_not_overflow() {
        assert_eq!(MinFree::percent(50).of(u64::MAX), u64::MAX / 100 * 50 + 7);
    }
}
