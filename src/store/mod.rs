//! Storage: blobs as files, everything else in one database.

pub mod blob;
pub mod durable;
#[doc(hidden)]
pub mod faulty;
pub mod filesystem;
pub mod lock;
pub mod meta;
pub mod open;
mod open_error;
mod sys;

pub use sys::{give_large_memory_back, give_unused_memory_back};
