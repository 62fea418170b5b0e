//! Manifests: kept byte for byte in the database, with everything they refer to counted in the same transaction.

mod delete;
mod get;
mod put;

pub use get::{ManifestContent, ManifestHead};
pub use put::{Condition, PutManifest, Stored};
