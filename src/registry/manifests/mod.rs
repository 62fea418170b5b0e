//! Manifests: kept byte for byte in the database, with everything they refer to counted in the same
//! transaction.

mod delete;
mod get;
mod list;
mod platform;
mod put;
mod references;

#[cfg(test)]
pub(super) use delete::{TAGS_AT_ONCE, delete_from};
pub use get::{ManifestContent, ManifestHead};
pub use list::{ManifestPage, ManifestView};
pub use put::{Condition, PutManifest, Stored};
