//! Log lines on stderr, and the type for values that must never be logged.

mod fields;
mod format;
mod json;
mod panics;
mod redact;
mod secret;
mod subscriber;
#[cfg(test)]
mod tests;
mod writer;

pub use fields::Chain;
pub use format::Stderr;
pub use secret::Secret;
pub use subscriber::{ACCESS, Filter, Guard, InitError, PART, init};
