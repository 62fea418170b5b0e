//! Fields of a request that may be left out.

use serde::{Deserialize, Deserializer, Serialize};

/// A field of a request that may be absent, but not `null`. It needs `#[serde(default)]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Absent<T>(pub Option<T>);

impl<T> Absent<T> {
    /// Whether the field is not there.
    pub const fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl<T> From<T> for Absent<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Absent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Change {
        #[serde(default, skip_serializing_if = "Absent::is_absent")]
        number: Absent<u64>,
    }

    #[test]
    fn null_is_not_absent() {
        for (text, number) in [("{}", Absent(None)), (r#"{"number":7}"#, Absent::from(7))] {
            let change: Change = serde_json::from_str(text).unwrap();
            assert_eq!(change, Change { number });
            assert_eq!(serde_json::to_string(&change).unwrap(), text);
        }
        assert!(serde_json::from_str::<Change>(r#"{"number":null}"#).is_err());
    }
}
