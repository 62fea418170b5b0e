//! Hostile traffic against the real server: others are served meanwhile, its memory stays within bounds, it rests when
//! the traffic ends, and it tells nobody's secret. How each load is measured is in docs/security.md.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bodies;
mod connections;
mod heads;
mod lists;
mod load;
mod passwords;
mod process;
mod secrets;
mod sign_ins;
mod smuggling;
