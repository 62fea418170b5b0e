//! Operations on whole stores: rebuilding a store from its blobs and a dump of its metadata.

mod rebuild;

pub use rebuild::{Rebuild, RebuildError, Rebuilt, RefusedDump, rebuild};
