//! The command line: one file per command, one form for every error, one place that writes to the terminal.

mod child;
mod errors;
mod fsck;
mod output;
mod probe;
mod process;
mod program;
mod progress;
mod serve;
mod settings;
mod version;

pub use program::main;
