//! The crash box: the real server on file systems of its own, under clients who keep books, cut off at random
//! moments as a power cut does it. What was acknowledged is there afterwards, and nothing else is.
//!
//! `docs/reliability.md` says what is cut, what is checked, and how to run more of it.

mod cut;
#[path = "../durability/dice.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod dice;
mod dumps;
#[path = "../durability/exchange.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod exchange;
mod first_start;
mod image;
mod ledger;
mod oracle;
#[path = "../durability/process.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod process;
mod rebuild;
mod rounds;
mod soak;
mod start_up;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod trace;
#[path = "../durability/volume.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod volume;
mod workload;
