//! Enumerations in answers, to which a newer server may add values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value of an enumeration in an answer: a known one, or the word that a newer server sent. Requests use
/// the enumeration itself. `Display` writes the word of the JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OpenEnum<T> {
    /// A value that this version knows.
    Known(T),
    /// Another one.
    Unknown(String),
}

impl<T> From<T> for OpenEnum<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: PartialEq> PartialEq<T> for OpenEnum<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(value) if value == other)
    }
}

impl<T: Serialize> fmt::Display for OpenEnum<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Color {
        DarkBlue,
    }

    #[test]
    fn a_word_of_a_newer_server_is_read_written_and_shown() {
        let known = OpenEnum::Known(Color::DarkBlue);
        let unknown = OpenEnum::Unknown("mauve".to_owned());
        for (value, word) in [(&known, "dark_blue"), (&unknown, "mauve")] {
            let text = format!("\"{word}\"");
            assert_eq!(serde_json::from_str::<OpenEnum<Color>>(&text).unwrap(), *value);
            assert_eq!(serde_json::to_string(value).unwrap(), text);
            assert_eq!(value.to_string(), word);
        }
        assert!(known == Color::DarkBlue && unknown != Color::DarkBlue);
        for wrong in ["null", "7", "{}", r#"["dark_blue"]"#] {
            assert!(serde_json::from_str::<OpenEnum<Color>>(wrong).is_err(), "{wrong}");
        }
    }
}
