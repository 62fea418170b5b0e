//! The crash test: the real server on file systems of its own, under clients that record their requests, is
//! interrupted at random moments as by a power cut. Afterwards everything that was acknowledged must be
//! there, and nothing else.
//!
//! `docs/reliability.md` says how the server is interrupted, what is checked, and how to run longer tests.

mod cut;
#[path = "../durability/dice.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod dice;
mod dumps;
#[path = "../durability/exchange.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod exchange;
mod first_start;
mod held;
mod image;
mod ledger;
mod oracle;
mod pieces;
#[path = "../durability/process.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod process;
mod pushers;
mod quiescence;
mod rebuild;
mod rounds;
mod soak;
mod start_up;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod trace;
mod trash;
#[path = "../durability/volume.rs"]
#[expect(dead_code, reason = "shared with tests/durability")]
mod volume;
mod workload;
