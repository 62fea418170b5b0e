//! Lists with pages.

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// The cursor of the next page; null at the end.
    pub next_cursor: Option<String>,
}
