//! Hostile traffic against the real server: others are served meanwhile, its memory stays within bounds, it
//! is idle again when the traffic ends, and it reveals no secret. A load is a value of [`attack::Load`];
//! docs/security.md has the costs of each.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod attack;
mod bodies;
mod clients;
mod connections;
mod handshakes;
mod heads;
mod jobs;
mod lists;
mod load;
mod logs;
mod passwords;
mod process;
mod secrets;
mod sessions;
mod sign_ins;
mod smuggling;
mod stalled;
mod unread;
