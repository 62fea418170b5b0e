//! Sizes and durations as people write them in settings and flags.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::text::{quote, serde_as_text};

/// A unit and its value in bytes or seconds.
#[derive(Debug, Clone, Copy)]
struct Unit {
    name: &'static str,
    scale: u64,
}

const fn unit(name: &'static str, scale: u64) -> Unit {
    Unit { name, scale }
}

/// Bytes in the units of sizes, largest first.
const SIZES: [Unit; 9] = [
    unit("TiB", 1 << 40),
    unit("TB", 1_000_000_000_000),
    unit("GiB", 1 << 30),
    unit("GB", 1_000_000_000),
    unit("MiB", 1 << 20),
    unit("MB", 1_000_000),
    unit("KiB", 1 << 10),
    unit("KB", 1_000),
    unit("", 1),
];
const GIB: Unit = SIZES[2];
const MIB: Unit = SIZES[4];
const KIB: Unit = SIZES[6];
const BYTE: Unit = SIZES[8];

/// Seconds in the units of durations.
const DURATIONS: [Unit; 5] =
    [unit("w", 604_800), unit("d", 86_400), unit("h", 3_600), unit("m", 60), unit("s", 1)];
const DAY: Unit = DURATIONS[1];
const HOUR: Unit = DURATIONS[2];
const MINUTE: Unit = DURATIONS[3];
const SECOND: Unit = DURATIONS[4];

/// The longest duration in seconds, 136 years: far from overflow when added to a time.
const MAX_SECONDS: u64 = u32::MAX as u64;

/// A number of bytes, such as `512KiB`, `10MB`, `2GiB` or `0`, shown in the unit it was written in.
#[derive(Debug, Clone, Copy)]
pub struct ByteSize {
    count: u64,
    unit: Unit,
}

impl ByteSize {
    /// Zero, which many settings read as "no limit".
    pub const ZERO: Self = Self { count: 0, unit: BYTE };

    /// This many KiB.
    pub const fn kib(count: u32) -> Self {
        Self { count: count as u64, unit: KIB }
    }

    /// This many MiB.
    pub const fn mib(count: u32) -> Self {
        Self { count: count as u64, unit: MIB }
    }

    /// This many GiB.
    pub const fn gib(count: u32) -> Self {
        Self { count: count as u64, unit: GIB }
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.count * self.unit.scale
    }
}

impl From<u64> for ByteSize {
    /// Shown in the largest unit that fits exactly.
    fn from(bytes: u64) -> Self {
        let fits = |unit: &Unit| bytes != 0 && bytes.is_multiple_of(unit.scale);
        let unit = SIZES.into_iter().find(fits).unwrap_or(BYTE);
        Self { count: bytes / unit.scale, unit }
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let not_a_size = || UnitError::Size { text: quote(text) };
        let (count, name) = split(text).ok_or_else(not_a_size)?;
        let same_name = |unit: &Unit| unit.name.eq_ignore_ascii_case(name);
        let plain = name.eq_ignore_ascii_case("B").then_some(BYTE);
        let unit = SIZES.into_iter().find(same_name).or(plain).ok_or_else(not_a_size)?;
        let count: u64 = count.parse().map_err(|_| UnitError::SizeTooLarge { text: quote(text) })?;
        match count.checked_mul(unit.scale) {
            Some(_) => Ok(Self { count, unit }),
            None => Err(UnitError::SizeTooLarge { text: quote(text) }),
        }
    }
}

/// A number of bytes for people, rounded: `412 GiB`.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Computes in tenths of the unit, so that small numbers keep one decimal.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 {
        tenths /= 1024;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if whole >= 10 || tenth == 0 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

/// A number of bytes in full: `1 byte`, `1234 bytes`.
pub fn exact_size(bytes: u64) -> String {
    counted(bytes, "byte", "bytes")
}

/// A number with the singular or plural of a word: `1 blob`, `2 blobs`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A length of time in whole seconds, such as `30s`, `15m`, `12h`, `7d` or `4w`, shown as it was written.
#[derive(Debug, Clone, Copy)]
pub struct HumanDuration {
    count: u64,
    unit: Unit,
}

impl HumanDuration {
    /// Zero, which many settings read as "never" or "at once".
    pub const ZERO: Self = Self::from_secs(0);

    /// This many seconds.
    pub const fn from_secs(count: u32) -> Self {
        Self { count: count as u64, unit: SECOND }
    }

    /// This many minutes.
    pub const fn minutes(count: u16) -> Self {
        Self { count: count as u64, unit: MINUTE }
    }

    /// This many hours.
    pub const fn hours(count: u16) -> Self {
        Self { count: count as u64, unit: HOUR }
    }

    /// So many days.
    ///
    /// # Panics
    /// On more than 49,710 days, the longest duration.
    pub const fn days(count: u16) -> Self {
        assert!(count <= 49_710, "the longest duration is 49,710 days");
        Self { count: count as u64, unit: DAY }
    }

    /// The number of seconds.
    pub const fn as_secs(self) -> u64 {
        self.count * self.unit.scale
    }

    /// The same as a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.as_secs())
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.duration()
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let not_a_duration = || UnitError::Duration { text: quote(text) };
        let (count, name) = split(text).ok_or_else(not_a_duration)?;
        let too_long = || UnitError::DurationTooLong { text: quote(text) };
        let unit = match name {
            "" if count.bytes().all(|digit| digit == b'0') => SECOND,
            _ => DURATIONS.into_iter().find(|unit| unit.name == name).ok_or_else(not_a_duration)?,
        };
        let count: u64 = count.parse().map_err(|_| too_long())?;
        match count.checked_mul(unit.scale) {
            Some(..=MAX_SECONDS) => Ok(Self { count, unit }),
            _ => Err(too_long()),
        }
    }
}

/// The digits at the start and the unit after them.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    (!count.is_empty()).then(|| (count, unit.trim_start()))
}

/// Implements comparison by amount, and display as written.
macro_rules! quantity {
    ($type:ident, $amount:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", self.count, self.unit.name)
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.$amount() == other.$amount()
            }
        }

        impl Eq for $type {}

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                self.$amount().cmp(&other.$amount())
            }
        }

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.$amount().hash(state);
            }
        }
    };
}

quantity!(ByteSize, bytes);
quantity!(HumanDuration, as_secs);

/// Why a text is not a size or not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// Not a whole number and a unit of sizes.
    #[error("`{text}` is not a size: write a whole number and a unit, such as 512KiB, 10MB or 2GiB, or 0")]
    Size {
        /// What was written, shortened.
        text: String,
    },
    /// More bytes than 64 bits can count.
    #[error("size `{text}` is too large: the largest is {}", u64::MAX)]
    SizeTooLarge {
        /// What was written, shortened.
        text: String,
    },
    /// Not a whole number and a unit of durations.
    #[error(
        "`{text}` is not a duration: write a whole number and s, m, h, d or w, such as 30s, 15m or 7d, or 0s"
    )]
    Duration {
        /// What was written, shortened.
        text: String,
    },
    /// More than 136 years.
    #[error("duration `{text}` is too long: the longest is 49710d")]
    DurationTooLong {
        /// What was written, shortened.
        text: String,
    },
}

serde_as_text! {
    ByteSize: "a size in quotes, such as \"512KiB\", \"10MB\" or \"0\"",
    HumanDuration: "a duration in quotes, such as \"30s\", \"12h\" or \"7d\"",
}
