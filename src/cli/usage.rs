//! The command line's help, and the messages about wrong command lines.

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueHint};

use super::errors::{Exit, Failure};

/// The program with its help for a terminal (without the quotes of doc comments), and with hints for shell
/// completion: files are offered only where files are expected.
pub(super) fn described(command: Command) -> Command {
    let about = command.get_about().map(bare);
    let after = command.get_after_help().map(bare);
    let command = match about {
        Some(about) => command.about(about),
        None => command,
    };
    let command = match after {
        Some(after) => command.after_help(after),
        None => command,
    };
    command.mut_args(argument).mut_subcommands(described)
}

fn argument(argument: Arg) -> Arg {
    let argument = match argument.get_help().map(bare) {
        Some(help) => argument.help(help),
        None => argument,
    };
    let name = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    match (argument.get_action().takes_values(), name.as_deref()) {
        (false, _) => argument,
        (true, Some("DIR")) => argument.value_hint(ValueHint::DirPath),
        (true, Some("FILE" | "DUMP")) => argument.value_hint(ValueHint::FilePath),
        (true, _) => argument.value_hint(ValueHint::Other),
    }
}

fn bare(text: &StyledStr) -> String {
    text.to_string().replace('`', "")
}

/// The command that a command line names, as far as it can be parsed: `token create`.
pub(super) fn command_of(mut program: Command, arguments: impl Iterator<Item = String>) -> String {
    program.build();
    let (mut at, mut names, mut is_value) = (&program, Vec::new(), false);
    for argument in arguments.skip(1) {
        if std::mem::take(&mut is_value) {
            continue;
        }
        if let Some(flag) = argument.strip_prefix('-') {
            let is_meant = |option: &&Arg| match flag.strip_prefix('-') {
                Some(long) => option.get_long() == Some(long),
                None => option.get_short().is_some_and(|short| flag == short.to_string()),
            };
            is_value =
                at.get_arguments().find(is_meant).is_some_and(|option| option.get_action().takes_values());
        } else if let Some(command) = at.find_subcommand(&argument) {
            names.push(command.get_name());
            at = command;
        } else if !names.is_empty() {
            break;
        }
    }
    names.join(" ")
}

/// The error of a command line for programs: one sentence, without the help for a terminal.
pub(super) fn failure(error: &clap::Error, command: &str) -> Failure {
    let help = ["stowage", command, "--help"].into_iter().filter(|word| !word.is_empty());
    let help = format!("see {}", help.collect::<Vec<_>>().join(" "));
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Exit::Usage, "USAGE", "a command is missing").fix(help);
    }
    let text = error.render().to_string();
    let mut blocks = text.split("\n\n");
    let mut lines = blocks.next().unwrap_or_default().lines().map(str::trim);
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let rest = lines.collect::<Vec<_>>().join(", ");
    let what = if rest.is_empty() { first } else { format!("{first} {rest}") };
    let tips = blocks.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("tip: "));
    tips.fold(Failure::new(Exit::Usage, "USAGE", what), Failure::fix).fix(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let create = Command::new("create")
            .arg(Arg::new("user").required(true))
            .arg(Arg::new("name").long("name").value_name("NAME").required(true));
        let output = Arg::new("output").short('o').long("output").global(true);
        Command::new("stowage")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .arg(output)
            .subcommand(Command::new("token").alias("tokens").subcommand(create))
    }

    fn line(text: &str) -> impl Iterator<Item = String> + '_ {
        text.split(' ').map(str::to_owned)
    }

    #[test]
    fn the_command_is_found_among_flags() {
        for (text, command) in [
            ("stowage token create", "token create"),
            ("stowage -o json tokens create hanna", "token create"),
            ("stowage token -o create create", "token create"),
            ("stowage token lst create", "token"),
            ("stowage --output=json token", "token"),
            ("stowage", ""),
        ] {
            assert_eq!(command_of(program(), line(text)), command, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_one_sentence() {
        let failure = |text: &str| {
            let error = program().try_get_matches_from(line(text)).unwrap_err();
            failure(&error, &command_of(program(), line(text)))
        };
        let missing = failure("stowage token create");
        assert_eq!(missing.what, "the following required arguments were not provided: --name <NAME>, <user>");
        assert_eq!(missing.fixes().collect::<Vec<_>>(), ["see stowage token create --help"]);
        let unknown = failure("stowage tokn");
        assert_eq!(unknown.what, "unrecognized subcommand 'tokn'");
        assert!(unknown.fixes().any(|fix| fix.contains("'token'")), "{unknown}");
        assert_eq!(failure("stowage").what, "a command is missing");
    }
}
