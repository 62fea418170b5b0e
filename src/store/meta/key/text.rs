//! Fields that are text.

use super::{Key, KeyOf, Stored, Successor};
use crate::model::names::MAX_TAG;

impl Key for &'static str {
    type Stored = &'static str;
    type Raw = Self;
    type Read<'r> = &'r str;

    fn read<'r>(stored: &Stored<'r, Self>) -> Option<&'r str> {
        Some(stored)
    }

    fn lowest<'a>() -> Stored<'a, Self> {
        ""
    }
}

impl<'k> KeyOf<&'static str> for &'k str {
    type Held = &'k str;

    fn hold(self) -> &'k str {
        self
    }

    fn stored<'h>(held: &'h &'k str) -> &'h str {
        held
    }
}

/// A text followed by a zero character, on the stack if it is no longer than a tag.
pub enum Ended {
    /// The bytes of a short text with its zero, and their number.
    Short([u8; MAX_TAG + 1], usize),
    /// A longer text with its zero.
    Long(String),
}

impl Ended {
    fn new(text: &str) -> Self {
        let mut bytes = [0; MAX_TAG + 1];
        match bytes.get_mut(..text.len()) {
            Some(part) if text.len() <= MAX_TAG => {
                part.copy_from_slice(text.as_bytes());
                Self::Short(bytes, text.len() + 1)
            }
            _ => Self::Long([text, "\0"].concat()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Short(bytes, len) => str::from_utf8(&bytes[..*len]).expect("a text and a zero are a text"),
            Self::Long(text) => text,
        }
    }
}

impl Successor<&'static str> for &str {
    type Both = Ended;

    fn both(self) -> Ended {
        Ended::new(self)
    }

    fn this(both: &Ended) -> &str {
        both.as_str().split_at(both.as_str().len() - 1).0
    }

    fn next(both: &Ended) -> Option<&str> {
        Some(both.as_str())
    }
}
