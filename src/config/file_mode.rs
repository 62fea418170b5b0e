//! The permission bits of a file, as people write them: `0660`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Permission bits, in octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

/// The text is not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a file mode: write three octal digits, such as \"0660\"")]
pub struct FileModeError(String);

impl FileMode {
    /// The mode with these bits.
    pub const fn new(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// Its bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for FileMode {
    type Err = FileModeError;

    fn from_str(text: &str) -> Result<Self, FileModeError> {
        let wrong = || FileModeError(text.chars().take(20).collect());
        let digits = if text.len() == 4 { text.strip_prefix('0').ok_or_else(wrong)? } else { text };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        u32::from_str_radix(digits, 8).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_in_octal() {
        for (text, bits) in [("0660", 0o660), ("660", 0o660), ("0600", 0o600), ("060", 0o60)] {
            assert_eq!(text.parse::<FileMode>().unwrap().bits(), bits);
        }
        assert_eq!(FileMode::new(0o60).to_string(), "0060");
        for text in ["", "66", "0o660", "04660", "0680", "+66", "rw-rw----"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
    }
}
