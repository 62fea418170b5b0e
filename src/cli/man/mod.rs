//! `stowage man`: the manual pages, one for each command.

mod page;

use std::io;
use std::path::{Path, PathBuf};

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;

/// Generate manual pages
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stowage man ./man1\n  stowage man /usr/local/share/man/man1")]
pub(super) struct Options {
    /// The directory to write them to; it is created if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "man"
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let directory = &self.directory;
        let pages = write(directory, (context.program)()).map_err(|error| {
            Failure::new(Exit::Failed, "MAN", format!("cannot write to {}", directory.display()))
                .because(error.to_string())
        })?;
        output::print(&format!("wrote {pages} pages to {}", directory.display()))?;
        Ok(Exit::Done)
    }
}

fn write(directory: &Path, mut program: clap::Command) -> io::Result<usize> {
    std::fs::create_dir_all(directory)?;
    program = program.disable_help_subcommand(true);
    program.build();
    let (mut commands, mut pages) = (vec![(program, None)], 0);
    while let Some((command, parent)) = commands.pop() {
        let name = page::name(&command);
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        commands.extend(below.map(|below| (below.clone(), Some(name.clone()))));
        std::fs::write(directory.join(format!("{name}.1")), page::render(&command, parent.as_deref())?)?;
        pages += 1;
    }
    Ok(pages)
}
