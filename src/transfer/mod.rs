//! Whole stores on their way: a store made again from a dump of its metadata and its blobs.

mod rebuild;

pub use rebuild::{Rebuild, RebuildError, Rebuilt, RefusedDump, rebuild};
