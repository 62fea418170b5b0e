//! Blobs under their digest, and the staged files of uploads.
//!
//! [`Staging`] has the files that uploads write, always on the local disk. A [`BlobStore`] has the blobs. Its
//! [`Stamp`] and [`Barrier`] are opaque outside of this module, so that a store need not use files.
//! [`FileBlobs`] has both in one tree:
//!
//! ```text
//! <root>/blobs/<algorithm>/<2 hex>/<hex>   blobs; the only way in is a rename
//! <root>/uploads/<id>                      staged files
//! <root>/quarantine/<algorithm>-<hex>      files removed from the tree
//! ```
//!
//! A blob becomes durable in four steps, in this order: [`Staged::append`], [`Staged::seal`],
//! [`BlobStore::put`], [`BlobStore::sync`]. Only then may a row name it.

#[cfg(test)]
mod contract;
mod disk;
mod files;
mod health;
mod layout;
mod link;
#[cfg(test)]
pub(crate) mod memory;
mod reader;
mod staged;
mod staging;
mod store;
#[cfg(test)]
mod tests;
mod walk;
mod writeback;

pub use files::FileBlobs;
pub use layout::LayoutError;
pub use staged::{Staged, Syncer};
pub use staging::{Sealed, StagedEntry, Staging};
pub use store::{Aside, Barrier, BlobFile, BlobStore, Entry, Placed, SetAside, Space, Stamp};
