//! A response of the API.

use std::ops::Deref;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The parts of a response that this version knows, and the whole document: `--json` prints the document with
/// the fields that a later server has added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Received<T> {
    value: T,
    document: Value,
}

impl<T> Received<T> {
    /// Both parts.
    pub(in crate::cli) fn into_parts(self) -> (T, Value) {
        (self.value, self.document)
    }
}

impl<T> Deref for Received<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Serialize for Received<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Received<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        let value = T::deserialize(&document).map_err(D::Error::custom)?;
        Ok(Self { value, document })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_server_has_added_is_kept() {
        #[derive(Deserialize)]
        struct Known {
            name: String,
        }
        let text = r#"{"color":"blue","name":"hanna"}"#;
        let received: Received<Known> = serde_json::from_str(text).unwrap();
        assert_eq!(received.name, "hanna");
        assert_eq!(serde_json::to_string(&received).unwrap(), text);
        assert!(serde_json::from_str::<Received<Known>>("{}").is_err());
    }
}
