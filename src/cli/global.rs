//! The flags that every command has.

use std::path::PathBuf;

use clap::Args;

/// The heading of the flags that many commands share, below those of the command itself.
pub(super) const GLOBAL: &str = "Global options";

/// Flags that every command takes.
#[derive(Args, Clone)]
pub(super) struct Global {
    /// Read the settings from FILE, and from conf.d/*.toml beside it
    #[arg(short, long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(super) config: Option<PathBuf>,
    /// Write no colours (also: `NO_COLOR=1`)
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) no_color: bool,
}
