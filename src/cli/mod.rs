//! The command line: one file per command, one form for every error, one module that writes output.

mod absent;
mod check_config;
mod child;
mod client;
mod command;
mod completions;
mod context;
mod data_dir;
mod errors;
mod expiry;
mod following;
mod fsck;
mod gc;
mod global;
mod image_name;
mod init;
mod interrupt;
mod jobs;
mod man;
mod manifest;
mod offered;
mod offline;
mod openapi;
mod output;
mod private_dir;
mod probe;
mod process;
mod program;
mod progress;
mod prompt;
mod rebuild;
mod repo;
mod schedule;
mod serve;
mod server_args;

mod status;
mod tag;
mod terminal;
mod token;
mod usage;
mod user;
mod version;
mod visible;
mod words;

pub use program::main;
