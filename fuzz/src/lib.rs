//! What must hold for every input of the parsers that read what others send. A check panics where it does not
//! hold.
//!
//! `fuzz_targets/` hands the inputs of libFuzzer to these functions; `tests/house/fuzz_corpus.rs` of
//! the server's crate hands them the corpus, with a stable compiler.

#![allow(unreachable_pub, reason = "tests/house/fuzz_corpus.rs includes this file as a module")]

pub mod authorization;
pub mod configuration;
pub mod dumps;
pub mod gate;
pub mod json;
pub mod manifests;
pub mod names;
pub mod paths;
pub mod ranges;
pub mod text;
pub mod tokens;

/// What checks one input.
pub type Check = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Check)] = &[
    ("authorization", authorization::check),
    ("configuration", configuration::check),
    ("dumps", dumps::check),
    ("manifests", manifests::check),
    ("paths", paths::check),
    ("ranges", ranges::check),
    ("tokens", tokens::check),
];
