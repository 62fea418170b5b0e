//! What the registry does on the wire.

#[path = "../support/mod.rs"]
mod support;
