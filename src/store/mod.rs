//! What is kept: blobs as files, everything else in one database.

pub mod blob;
pub mod filesystem;
pub mod lock;
pub mod meta;
mod sys;
