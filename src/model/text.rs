//! Text forms of values: short quotations in error messages, percent-encoding, and serde through strings.

use std::fmt::Write as _;

/// How many characters of a client's text an error message quotes.
const QUOTED: usize = 80;

/// A quotation of what a client sent, for an error message: see [`shorten`].
pub(super) fn quote(text: &str) -> String {
    shorten(text, QUOTED)
}

/// The text cut after `limit` characters. Characters that could disturb a terminal or a log are escaped.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let mut short = String::new();
    for character in text.chars().take(limit) {
        match character {
            '"' | '\'' | '\\' => short.push(character),
            _ => short.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(limit).is_some() {
        short.push_str("...");
    }
    short
}

/// The text percent-encoded (RFC 3986 section 2.1), except ASCII letters, digits and the bytes `plain`.
pub fn percent_encoded(text: &str, plain: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Implements serde for types that have a text form: written with `Display`, read with `FromStr`.
macro_rules! serde_as_text {
    ($($type:ty: $expected:literal),+ $(,)?) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    )+};
}

pub(super) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_is_short_and_free_of_control_characters() {
        assert_eq!(quote("plain `text` \\ \"quoted\""), "plain `text` \\ \"quoted\"");
        assert_eq!(quote("a\u{1b}[31m\n\u{202e}b"), "a\\u{1b}[31m\\n\\u{202e}b");
        assert_eq!(quote(&"x".repeat(1_000_000)), "x".repeat(80) + "...");
        assert_eq!(quote(&"ä".repeat(80)), "ä".repeat(80));
    }
}
