//! Reads JSON so that every client reads the same: bounded depth, no duplicate key, no key that differs from
//! a known one only in case.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::text::shorten;

/// How many characters an error message about a document may have.
const MESSAGE: usize = 300;

/// Whether brackets nest deeper than `limit`. One pass over the bytes answers this before anything is parsed.
pub(super) fn nests_deeper(text: &str, limit: usize) -> bool {
    let mut depth = 0;
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // Skips the character after the backslash, so that an escaped quote does not end the string.
            b'\\' if in_string => _ = bytes.next(),
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Prefixes an error with its place: `layers[3]: size: ...`.
pub(super) fn at<T, E: Error>(place: impl fmt::Display, result: Result<T, E>) -> Result<T, E> {
    result.map_err(|error| E::custom(format_args!("{place}: {}", message(&error))))
}

/// The text of an error, shortened, because it quotes what the client sent.
pub(super) fn message(error: &impl fmt::Display) -> String {
    shorten(&error.to_string(), MESSAGE)
}

/// Reads the known keys of an object, and skips all other keys with their values.
pub(super) struct Fields {
    names: &'static [&'static str],
    seen: Vec<&'static str>,
}

impl Fields {
    /// For an object with these known keys.
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: Vec::with_capacity(names.len()) }
    }

    /// The next known key; the caller must read its value before the next call. A duplicate key is refused,
    /// because one client would take its first value and another the last.
    pub(super) fn next<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
    ) -> Result<Option<&'static str>, A::Error> {
        while let Some(key) = map.next_key_seed(Key(self.names))? {
            let Some(name) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.saw(name) {
                return Err(A::Error::custom(format_args!("key `{name}` appears twice: keep one")));
            }
            self.seen.push(name);
            return Ok(Some(name));
        }
        Ok(None)
    }

    /// Whether the key was there, even with the value null.
    pub(super) fn saw(&self, name: &str) -> bool {
        self.seen.contains(&name)
    }
}

/// Reads an array of at most `limit` entries, or null; errors name the entry, and the rest of a longer array
/// is not read.
pub(super) struct List<T> {
    name: &'static str,
    limit: usize,
    entries: PhantomData<T>,
}

impl<T> List<T> {
    /// For the array under this key.
    pub(super) const fn new(name: &'static str, limit: usize) -> Self {
        Self { name, limit, entries: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array as `{}`", self.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let Self { name, limit, .. } = self;
        let mut list = Vec::new();
        while list.len() < limit {
            match at(format_args!("{name}[{}]", list.len()), entries.next_element())? {
                Some(entry) => list.push(entry),
                None => return Ok(Some(list)),
            }
        }
        match entries.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom(format_args!("{name}: more than {limit} entries: split it up"))),
            None => Ok(Some(list)),
        }
    }
}

/// One key: `Some` if it is one of the names; an error if some client would take it for one of them.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        if let Some(name) = self.0.iter().find(|name| **name == key) {
            return Ok(Some(name));
        }
        match self.0.iter().find(|name| looks_like(key, name)) {
            Some(name) => Err(E::custom(format_args!(
                "key `{key}` differs from `{name}` in letter case only, and clients written in Go read it as \
                 `{name}`: rename or remove it"
            ))),
            None => Ok(None),
        }
    }
}

/// Whether Go's `encoding/json` takes the key for the name: it ignores case by Unicode's simple folding,
/// which puts the long s and the Kelvin sign to the ASCII letters.
fn looks_like(key: &str, name: &str) -> bool {
    let folded = key.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => character.to_ascii_lowercase(),
    });
    folded.eq(name.chars().map(|character| character.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert!(!nests_deeper("[[{}]]", 3));
        assert!(nests_deeper("[[{}]]", 2));
        assert!(!nests_deeper(r#"{"a[[[[\"[[[[":"\\"}"#, 1));
        assert!(!nests_deeper("[],[],{},{}", 1));
        assert!(!nests_deeper("]]]][", 1));
        assert!(nests_deeper(&"[".repeat(1 << 20), 32));
        assert!(!nests_deeper("\"\\", 1));
    }

    #[test]
    fn keys_look_alike_as_they_do_to_go() {
        for key in ["Layers", "LAYERS", "layer\u{17f}", "lAyErs"] {
            assert!(looks_like(key, "layers"), "{key}");
        }
        for key in ["layer", "layers ", "läyers", "Layerz"] {
            assert!(!looks_like(key, "layers"), "{key}");
        }
        assert!(looks_like("\u{212a}ey", "key"));
    }
}
