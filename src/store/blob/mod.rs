//! Content-addressed files: blobs under their digest, uploads on their way there.
//!
//! ```text
//! <root>/blobs/<algorithm>/<2 hex>/<hex>   blobs; the only way in is a rename
//! <root>/uploads/<id>                      staged files
//! <root>/quarantine/<algorithm>-<hex>      files taken out of the tree
//! ```
//!
//! A blob becomes durable in four steps, in this order: [`Staged::append`], [`Staged::sync`],
//! [`BlobStore::publish`], [`BlobStore::sync_shard`]. Only then may a row name it.

mod disk;
mod files;
mod health;
mod layout;
mod link;
mod reader;
mod staged;
mod store;
#[cfg(test)]
mod tests;
mod walk;
mod writeback;

pub use files::FileBlobs;
pub use layout::LayoutError;
pub use store::{BlobFile, BlobStore, Entry, Shard, Space, Staged, StagedEntry, Stamp, Syncer};
