//! The server as its clients reach it. Every test has a server of its own.
//!
//! Tests of all folders run at the same time, and servers in this process share the counts of requests in
//! flight, of TLS connections and of large heads. A test that depends on such a count, on the memory or the
//! open files of the process, or on its environment starts `stowage` as a process, as `tests/hostile` does.

mod admin;
mod api;
mod doors;
#[path = "../support/mod.rs"]
mod support;
mod tls;
