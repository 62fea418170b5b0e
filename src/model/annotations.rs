//! The annotations of a manifest or descriptor: a map of strings in little memory.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::quote;

/// A map of strings in the document's order, each key once.
///
/// All text lies in one buffer. A manifest may hold half a million annotations (docs/decisions.md, "Limits of
/// manifests"); one `String` for each key and value would take more than ten times the size of the document.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    text: Box<str>,
    /// For each annotation, the end of its key and the end of its value in `text`. A key begins where the
    /// value before it ends.
    ends: Box<[(u32, u32)]>,
}

impl Annotations {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        ranges(&self.ends).map(|(key, value)| (&self.text[key], &self.text[value]))
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }
}

/// The byte ranges of keys and values in the text, computed from their ends.
fn ranges(ends: &[(u32, u32)]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    ends.iter().scan(0, |start, (key, value)| {
        let (key, value) = (*key as usize, *value as usize);
        Some((std::mem::replace(start, value)..key, key..value))
    })
}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Annotations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut text = String::new();
        let mut ends = Vec::new();
        while let Some(key) = map.next_key_seed(Append(&mut text))? {
            let value = map.next_value_seed(Append(&mut text))?;
            ends.push((key, value));
        }
        let mut keys: Vec<&str> = Vec::with_capacity(ends.len());
        keys.extend(ranges(&ends).map(|(key, _)| &text[key]));
        keys.sort_unstable();
        if let Some([key, _]) = keys.array_windows().find(|[one, next]| one == next) {
            return Err(A::Error::custom(format_args!("key `{}` appears twice: keep one", quote(key))));
        }
        Ok(Annotations { text: text.into(), ends: ends.into() })
    }
}

/// Appends a deserialized string to the buffer, and returns the buffer's new length.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
        self.0.push_str(text);
        u32::try_from(self.0.len()).map_err(|_| E::custom("annotations are larger than 4 GiB"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_given_twice_is_refused() {
        let error = serde_json::from_str::<Annotations>(r#"{"a":"1","b":"","\u0061":"2"}"#).unwrap_err();
        assert!(error.to_string().starts_with("key `a` appears twice"), "{error}");
    }

    #[test]
    fn only_strings_are_annotations() {
        for text in ["[]", "1", r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{}}"#] {
            assert!(serde_json::from_str::<Annotations>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn annotations_hold_what_the_document_says(map in btree_map(any::<String>(), any::<String>(), 0..9)) {
            let json = serde_json::to_string(&map).unwrap();
            let annotations: Annotations = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(annotations.len(), map.len());
            prop_assert_eq!(annotations.is_empty(), map.is_empty());
            prop_assert!(annotations.iter().eq(map.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
            for (key, value) in &map {
                prop_assert_eq!(annotations.get(key), Some(value.as_str()));
            }
            prop_assert_eq!(serde_json::to_string(&annotations).unwrap(), json);
        }
    }
}
