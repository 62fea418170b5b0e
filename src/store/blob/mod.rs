//! Blobs under their digest, and uploads on their way there.
//!
//! [`Staging`] has the files that uploads write, always on the local disk. A [`BlobStore`] has the blobs;
//! what outside of this module holds a [`Stamp`] or a [`Barrier`] of it cannot look inside, so that a store
//! need not be one of files. [`FileBlobs`] has both in one tree:
//!
//! ```text
//! <root>/blobs/<algorithm>/<2 hex>/<hex>   blobs; the only way in is a rename
//! <root>/uploads/<id>                      staged files
//! <root>/quarantine/<algorithm>-<hex>      files taken out of the tree
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
pub use store::{Barrier, BlobFile, BlobStore, Entry, Placed, Space, Stamp};
