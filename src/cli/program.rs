//! The program `stowage`: its commands and its exit code.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::command::Command;
use super::context::Context;
use super::errors::{Exit, Typed};
use super::global::Global;
use super::output::{self, Format};
use super::{absent, usage};
use crate::config::Environment;

#[derive(Parser)]
#[command(
    name = "stowage",
    version,
    about = "A complete OCI/Docker container registry in one binary",
    after_help = "Examples:\n  stowage serve\n  stowage fsck --deep"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Commands,
}

/// Declares the commands in the order of the help, each as `Name(module::Flags)`: the name is what users
/// type, and the doc comment of the flags is its description.
macro_rules! commands {
    ($($name:ident($flags:ty),)*) => {
        #[derive(Subcommand)]
        enum Commands {
            $($name($flags),)*
        }

        impl Commands {
            fn command(&self) -> &dyn Command {
                match self {
                    $(Self::$name(flags) => flags,)*
                }
            }
        }
    };
}

commands! {
    Serve(super::serve::Options),
    Status(super::status::Options),
    Init(super::init::Options),
    CheckConfig(super::check_config::Options),
    User(super::user::Options),
    Token(super::token::Options),
    Repo(super::repo::Options),
    Tag(super::tag::Options),
    Manifest(super::manifest::Options),
    Trash(super::trash::Options),
    Fsck(super::fsck::Options),
    Gc(super::gc::Options),
    Scrub(super::scrub::Options),
    Compact(super::compact::Options),
    Jobs(super::jobs::Options),
    Schedule(super::schedule::Options),
    Rebuild(super::rebuild::Options),
    Completions(super::completions::Options),
    Man(super::man::Options),
    Openapi(super::openapi::Options),
    Version(super::version::Options),
    FsckChild(super::fsck::ChildOptions),
    Probe(super::probe::ChildOptions),
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let parsed = usage::described(Cli::command())
        .try_get_matches()
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let format = output::format_of(std::env::args());
            let command = usage::command_of(Cli::command(), std::env::args());
            if let Some(failure) = absent::explained(&error) {
                output::failure(format, &command, &failure);
                return ExitCode::from(failure.exit.code());
            }
            let error = absent::without_far_suggestions(error);
            if error.use_stderr() && format != Format::Human {
                output::failure(format, &command, &usage::failure(&error, &command));
            } else {
                // If this cannot be written, nothing can be reported.
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let command = cli.command.command();
    let context = Context {
        typed: Typed { config: Typed::flag("--config", cli.global.config.as_deref()), ..command.typed() },
        global: cli.global,
        environment: Environment::of_process(),
        name: command.name(),
        form: command.form(),
        program: || usage::described(Cli::command()),
    };
    let exit = command.run(&context).unwrap_or_else(|failure| {
        let failure = failure.completed(&context.typed);
        if failure.exit == Exit::Done && context.format() == Format::Human {
            output::note(&failure.what);
        } else {
            output::failure(context.format(), context.name, &failure);
        }
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Whether these words are a valid command line.
#[cfg(test)]
pub(super) fn known<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), clap::Error> {
    Cli::try_parse_from(words).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shown_command_has_a_description_and_two_examples_that_fit_a_terminal() {
        let mut commands = vec![usage::described(Cli::command()).term_width(80)];
        commands[0].build();
        while let Some(command) = commands.pop() {
            if command.is_hide_set() || command.get_name() == "help" {
                continue;
            }
            commands.extend(command.get_subcommands().cloned().map(|command| command.term_width(80)));
            let help = command.clone().render_help().to_string();
            let examples = help.split("Examples:").nth(1).unwrap_or_default();
            assert!(examples.matches("\n  stowage ").count() >= 2, "{help}");
            assert!(examples.lines().all(|line| line.is_empty() || line.starts_with("  ")), "{help}");
            assert!(command.get_about().is_some(), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
            assert!(!help.contains('`'), "{help}");
        }
    }

    #[test]
    fn wrong_usage_is_exit_code_2() {
        for arguments in [
            vec!["stowage"],
            vec!["stowage", "sevre"],
            vec!["stowage", "serve", "--listen", "localhost:5000"],
            vec!["stowage", "serve", "--log-level", "loud"],
            vec!["stowage", "serve", "--ephemeral", "--data-dir", "/x"],
        ] {
            let error = Cli::try_parse_from(&arguments).err().unwrap();
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{arguments:?}");
        }
        for arguments in [["stowage", "--help"], ["stowage", "--version"]] {
            assert_eq!(Cli::try_parse_from(arguments).err().unwrap().exit_code(), 0);
        }
    }
}
