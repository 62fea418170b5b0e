//! `stowage completions`: scripts for completion in a shell.
//!
//! The scripts are static: they know commands, flags and fixed values. Names of users, repositories and tags
//! would need the dynamic engine of `clap_complete`, whose interface between shell and program is unstable.

use clap_complete::Shell;

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;

/// Generate shell completions
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage completions bash > /etc/bash_completion.d/stowage\n  \
                  stowage completions fish > ~/.config/fish/completions/stowage.fish")]
pub(super) struct Options {
    /// The shell
    shell: Shell,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "completions"
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        // Hidden commands are for this program itself.
        let program = (context.program)();
        let shown = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let mut program =
            clap::Command::new("stowage").args(program.get_arguments().cloned()).subcommands(shown);
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "stowage", &mut script);
        output::print(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Done)
    }
}
