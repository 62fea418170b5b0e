//! What the program says about itself while it runs: log lines on stderr, and values that must never be in
//! them.

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
