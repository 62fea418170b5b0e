//! What goes wrong: `application/problem+json`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// RFC 9457
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A name for the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in a few words that are the same for every problem of this kind.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong, in one sentence.
    pub detail: String,
    /// The same name for programs; it never changes.
    pub code: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
}
