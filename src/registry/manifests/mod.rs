//! Manifests: stored byte for byte in the database. The transaction that stores one counts everything it
//! refers to.

mod delete;
mod get;
mod list;
mod platform;
mod put;
mod references;

pub(super) use delete::drop_rows;
#[cfg(test)]
pub(super) use delete::{TAGS_AT_ONCE, delete_from};
pub use get::{ManifestContent, ManifestHead};
pub use list::{ManifestPage, ManifestView};
pub use put::{Condition, PutManifest, Stored};
