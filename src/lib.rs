//! Stowage: a complete OCI/Docker container registry in one binary.
//!
//! The house has floors; a module imports only from the floors below it (`tests/house/architecture/mod.rs`).
//!
//! | floor | module | what it is for |
//! |---|---|---|
//! | 8 | [`cli`] | one file per command |
//! | 7 | [`server`] | listeners, signals, drain |
//! | 6 | [`http`] | HTTP in, HTTP out; the only floor that knows status codes |
//! | 5 | [`app`] | the parts, built once |
//! | 4 | [`lifecycle`] | workers and jobs |
//! | 4 | [`transfer`] | whole stores made again |
//! | 3 | [`auth`] | who calls |
//! | 3 | [`people`] | users and their tokens |
//! | 3 | [`registry`] | what a registry does |
//! | 3 | [`access`] | who may do what, and the proof of it |
//! | 2 | [`store`] | blobs in files, metadata in one database |
//! | 1 | [`limits`] | what each principal may hold of memory, files and time |
//! | 1 | [`wire`] | requests and answers of the admin API |
//! | 1 | [`config`], [`telemetry`] | settings; logs |
//! | 0 | [`model`] | values |

#[cfg(all(
    not(debug_assertions),
    any(
        feature = "mutant-no-blob-sync",
        feature = "mutant-no-dir-sync",
        feature = "mutant-commit-first",
        feature = "mutant-no-commit-sync",
        feature = "mutant-no-unlink-sync",
    )
))]
compile_error!(
    "the mutant features plant faults that lose data; they are for the debug builds of tests/crash"
);

#[cfg(all(not(debug_assertions), feature = "test-hooks"))]
compile_error!("the feature test-hooks permits promises of seconds; it is for the debug builds of tests");

pub mod access;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod http;
pub mod lifecycle;
pub mod limits;
pub mod model;
pub mod people;
pub mod registry;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod transfer;
pub mod wire;
