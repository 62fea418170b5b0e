//! Manifests: stored byte for byte in the database. The transaction that stores one counts everything it
//! refers to.

mod delete;
mod get;
mod list;
pub(super) mod marks;
mod platform;
mod put;
mod references;

#[cfg(test)]
pub(super) use delete::{TAGS_AT_ONCE, delete_slice};
pub(super) use delete::{drop_body, drop_rows, leave};
pub use get::{ManifestContent, ManifestHead};
pub use list::{ManifestPage, ManifestView};
pub(super) use put::enter;
pub use put::{Condition, PutManifest, Stored};
pub(super) use references::above;
