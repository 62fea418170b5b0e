//! The registry's API: the distribution-spec, what clients need beyond it, and what it refuses. Every test
//! has a server of its own.

mod auth;
mod bad_input;
mod base;
mod blobs;
mod catalog;
mod chunks;
mod concurrency;
mod conditional;
mod connection;
mod damage;
mod data_sets;
mod deletion;
mod digests;
mod disk_calls;
mod durability;
mod errors;
mod manifest_pushes;
mod manifest_types;
mod manifest_validation;
mod manifests;
mod mounts;
mod names;
mod options;
mod paths;
mod ranges;
mod references;
mod referrers;
mod resuming;
mod subjects;
mod tags;
mod uploads;
