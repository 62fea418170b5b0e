//! Properties that must hold for every input of the parsers of foreign data. A check panics if one does not
//! hold.
//!
//! `fuzz_targets/` passes the inputs of libFuzzer to these functions; the test `fuzz_corpus` of the server's
//! crate passes them the corpus, with a stable compiler.

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

/// A check of one input.
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
