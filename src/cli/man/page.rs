//! One manual page, in roff.

use std::fmt::Write as _;
use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;

use crate::cli::errors::Exit;

const EXAMPLES: &str = "Examples:\n";
const EXIT_CODES: &str = "Exit codes: ";

/// The exit codes of all commands.
const CODES: [(Exit, &str); 12] = [
    (Exit::Done, "Done, or nothing to do."),
    (Exit::Failed, "Failed."),
    (Exit::Usage, "Wrong usage."),
    (Exit::Configuration, "The configuration is not valid, or the data has the format of another version."),
    (Exit::Unreachable, "The server does not run, cannot be reached, or refuses the sign-in."),
    (Exit::NotFound, "Not found."),
    (Exit::Refused, "Refused: no permission, or a rule forbids it."),
    (Exit::Integrity, "Stored data is damaged or missing."),
    (Exit::Partly, "Partly done: the message says what is left."),
    (Exit::InUse, "Another process uses the store."),
    (Exit::SomethingToDo, "With --exit-code: there is something to do, or something needs attention."),
    (Exit::Interrupted, "Interrupted with Ctrl-C or SIGTERM."),
];

const ENVIRONMENT: [(&str, &str); 5] = [
    ("STOWAGE_CONFIG", "The configuration file, as with --config."),
    (
        "STOWAGE__TABLE__KEY",
        "The setting key of the table, for example STOWAGE__SERVER__LISTEN=0.0.0.0:5000.",
    ),
    ("STOWAGE_SERVER", "The server that commands talk to, as with --server."),
    ("STOWAGE_TOKEN", "The token that commands sign in with at that server."),
    ("NO_COLOR", "If set, nothing is coloured."),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/stowage/stowage.toml", "The configuration, when no other file is named."),
    ("conf.d/*.toml", "Settings beside the configuration file, read after it in the order of their names."),
    ("/var/lib/stowage", "The data, when the configuration is /etc/stowage/stowage.toml."),
    ("~/.local/share/stowage", "The data of a server without that configuration."),
    ("/run/stowage/admin.sock", "The socket through which commands reach the server."),
];

/// The name of a command's page: `stowage-token-create`.
pub(super) fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// The page of a command, which clap must have built as a part of the program. `parent` is the name of the
/// page above it.
pub(super) fn render(command: &Command, parent: Option<&str>) -> io::Result<String> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (before, examples) = after.split_once(EXAMPLES).unwrap_or((after.as_str(), ""));
    let mut page = Page::new(command);
    page.synopsis(command);
    page.section("DESCRIPTION");
    page.text(&command.get_about().map(ToString::to_string).unwrap_or_default());
    for paragraph in before.split("\n\n").filter(|paragraph| !paragraph.starts_with(EXIT_CODES)) {
        page.paragraph(paragraph);
    }
    let man = Man::new(command.clone());
    page.rendered(|out| man.render_options_section(out))?;
    if command.has_subcommands() {
        page.rendered(|out| man.render_subcommands_section(out))?;
    }
    page.section("EXIT STATUS");
    page.exit_status(before.split("\n\n").find_map(|paragraph| paragraph.strip_prefix(EXIT_CODES)), parent);
    if parent.is_none() {
        page.section("ENVIRONMENT");
        page.list(ENVIRONMENT.iter().map(|(name, text)| ((*name).to_owned(), *text)));
    }
    page.section("FILES");
    page.list(FILES.iter().map(|(name, text)| ((*name).to_owned(), *text)));
    if !examples.is_empty() {
        page.section("EXAMPLES");
        page.verbatim(examples);
    }
    page.see_also(command, parent);
    Ok(page.0)
}

struct Page(String);

impl Page {
    fn new(command: &Command) -> Self {
        let name = escaped(&name(command));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let version = escaped(env!("CARGO_PKG_VERSION"));
        let mut page = Self(String::new());
        // Hyphenation is switched off, so that words can be copied and searched for.
        page.line(&format!(
            ".TH \"{}\" 1 \"\" \"Stowage {version}\" \"Stowage Manual\"",
            name.to_uppercase()
        ));
        page.line(".nh");
        page.section("NAME");
        page.line(&format!("{name} \\- {}", escaped(&about)));
        page
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {title}"));
    }

    /// Text that roff fills into lines.
    fn text(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(&protected(line));
        }
    }

    fn paragraph(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.line(".PP");
            self.text(text);
        }
    }

    /// Lines that are kept unchanged.
    fn verbatim(&mut self, text: &str) {
        self.line(".nf");
        for line in text.lines().map(str::trim_end) {
            self.line(&protected(line.strip_prefix("  ").unwrap_or(line)));
        }
        self.line(".fi");
    }

    fn list(&mut self, entries: impl Iterator<Item = (String, &'static str)>) {
        for (term, text) in entries {
            self.entry(&term, text);
        }
    }

    fn entry(&mut self, term: &str, text: &str) {
        self.line(".TP");
        self.line(&format!("\\fB{}\\fR", escaped(term)));
        self.line(&protected(text));
    }

    fn synopsis(&mut self, command: &Command) {
        self.section("SYNOPSIS");
        let program = command.get_bin_name().unwrap_or_else(|| command.get_name());
        let mut line = format!("\\fB{}\\fR [\\fIOPTIONS\\fR]", escaped(program));
        let required = command.get_arguments().filter(|argument| !argument.is_positional());
        for option in required.filter(|argument| argument.is_required_set()) {
            let long = option.get_long().unwrap_or_default();
            let _ = write!(line, " \\fB{}\\fR \\fI{}\\fR", escaped(&format!("--{long}")), value(option));
        }
        for position in command.get_positionals().filter(|argument| !argument.is_hide_set()) {
            let several =
                if position.get_num_args().is_some_and(|n| n.max_values() > 1) { "..." } else { "" };
            let value = format!("\\fI{}\\fR{several}", value(position));
            let _ = if position.is_required_set() {
                write!(line, " {value}")
            } else {
                write!(line, " [{value}]")
            };
        }
        if command.has_subcommands() {
            line.push_str(" \\fICOMMAND\\fR");
        }
        self.line(&line);
    }

    /// The output of `clap_mangen`, without the definitions that it repeats before each section.
    fn rendered(&mut self, render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = Vec::new();
        render(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().filter(|line| !line.contains(".ds Aq")) {
            // `clap_mangen` writes an apostrophe as a string of its own definitions.
            self.line(&line.replace("\\*(Aq", "\\(aq"));
        }
        Ok(())
    }

    fn exit_status(&mut self, own: Option<&str>, parent: Option<&str>) {
        let Some(own) = own else {
            match parent {
                None => self.list(CODES.iter().map(|(exit, text)| (exit.code().to_string(), *text))),
                Some(_) => self.text("0 on success, else one of the codes in stowage(1)."),
            }
            return;
        };
        for (code, text) in codes(own) {
            self.entry(&code, &text);
        }
        self.paragraph("Other codes are in stowage(1).");
    }

    fn see_also(&mut self, command: &Command, parent: Option<&str>) {
        let below = command.get_subcommands().filter(|command| !command.is_hide_set()).map(name);
        let mut pages: Vec<String> = parent.map(str::to_owned).into_iter().chain(below).collect();
        if parent.is_some_and(|parent| parent != "stowage") {
            pages.insert(0, "stowage".to_owned());
        }
        if pages.is_empty() {
            return;
        }
        self.section("SEE ALSO");
        let pages: Vec<String> = pages.iter().map(|page| format!("\\fB{}\\fR(1)", escaped(page))).collect();
        self.line(&pages.join(", "));
    }
}

/// The codes in `0 no problem, 7 something is damaged or missing, 9 in use`.
fn codes(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut begins = true;
    for word in text.split_whitespace() {
        if begins && word.parse::<u8>().is_ok() {
            found.push((word.to_owned(), String::new()));
        } else if let Some((_, meaning)) = found.last_mut() {
            if !meaning.is_empty() {
                meaning.push(' ');
            }
            meaning.push_str(word);
        }
        begins = word.ends_with(',');
    }
    for (_, meaning) in &mut found {
        *meaning = meaning.trim_end_matches(',').to_owned();
    }
    found
}

fn value(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    match names {
        [] => escaped(&argument.get_id().as_str().to_uppercase()),
        names => escaped(&names.join(" ")),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

/// A line of text, protected from being read as a roff request.
fn protected(text: &str) -> String {
    let text = escaped(text);
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_read_from_a_sentence() {
        let own =
            |text: &str| codes(text).into_iter().map(|(code, text)| format!("{code}: {text}")).collect();
        let found: Vec<String> = own("0 recovered, 7 recovered, but something is missing, 9 in use");
        assert_eq!(found, ["0: recovered", "7: recovered, but something is missing", "9: in use"]);
    }

    #[test]
    fn lines_are_no_requests() {
        assert_eq!(protected(".nf is -x"), "\\&.nf is \\-x");
        assert_eq!(protected("'a' \\"), "\\(aqa\\(aq \\e");
    }
}
