//! Completes commands in the fixes of error messages: adds the flags of this run that select the server or
//! its data.

use std::path::Path;

use super::{FIX, Failure};

/// The flags of this run that select a server or its data.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Typed {
    /// `--config FILE`
    pub(in crate::cli) config: Option<String>,
    /// `--data-dir DIR`
    pub(in crate::cli) data_dir: Option<String>,
    /// `--server URL`, with the flags that belong to it.
    pub(in crate::cli) server: Option<String>,
}

impl Typed {
    /// A flag with its path, as typed on a command line.
    pub(in crate::cli) fn flag(name: &str, value: Option<&Path>) -> Option<String> {
        let value = value?.display().to_string();
        Some(format!("{name} {}", shlex::try_quote(&value).unwrap_or_default()))
    }

    /// The flags that a command in a fix needs.
    fn flags(&self, command: &str) -> Vec<&str> {
        let local = [&self.config, &self.data_dir];
        let is_client = ["status", "user", "token", "repo", "tag", "manifest", "fsck"].contains(&command);
        let flags: &[&Option<String>] = match command {
            _ if is_client && self.server.is_some() => &[&self.server],
            _ if is_client || ["serve", "rebuild"].contains(&command) => &local,
            "check-config" => &local[..1],
            _ => &[],
        };
        flags.iter().filter_map(|flag| flag.as_deref()).collect()
    }

    /// The text with its command completed. A flag that it already has stays.
    pub(in crate::cli) fn complete(&self, text: &str) -> String {
        let Some(at) = text.rfind("stowage ") else { return text.to_owned() };
        let is_word = at == 0 || text[..at].ends_with(' ');
        // A command for another computer, the server's own, needs no flag to find the server.
        if !is_word || text[..at].contains("on the server") || text[at..].contains("--data-dir") {
            return text.to_owned();
        }
        let command = text[at..].split(' ').nth(1).unwrap_or_default();
        let end = text[at..].find("   ").map_or(text.len(), |end| at + end);
        let flags = self.flags(command).into_iter().filter(|flag| !text.contains(*flag));
        let flags: String = flags.flat_map(|flag| [" ", flag]).collect();
        format!("{}{flags}{}", &text[..end], &text[end..])
    }
}

impl Failure {
    /// The failure, with every command in its fixes completed.
    #[must_use]
    pub(in crate::cli) fn completed(mut self, typed: &Typed) -> Self {
        for (_, text) in self.lines.iter_mut().filter(|(label, _)| label == FIX) {
            *text = typed.complete(text);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_remedies_name_the_data_that_the_run_named() {
        let data_dir = Typed::flag("--data-dir", Some(Path::new("/srv/my data")));
        let config = Typed::flag("--config", Some(Path::new("own.toml")));
        let typed = Typed { config, data_dir, server: None };
        let flags = "--config own.toml --data-dir '/srv/my data'";
        for (text, complete) in [
            ("stowage user list", format!("stowage user list {flags}")),
            ("see what is affected: stowage fsck", format!("see what is affected: stowage fsck {flags}")),
            ("stowage check-config", "stowage check-config --config own.toml".to_owned()),
            ("sudo systemctl stop stowage", "sudo systemctl stop stowage".to_owned()),
            ("sudo -u '#7' stowage fsck --data-dir /x", "sudo -u '#7' stowage fsck --data-dir /x".to_owned()),
            ("add --yes", "add --yes".to_owned()),
            ("stowage user add NAME", format!("stowage user add NAME {flags}")),
            ("is it running?  stowage serve", format!("is it running?  stowage serve {flags}")),
        ] {
            assert_eq!(typed.complete(text), complete);
            assert_eq!(typed.complete(&complete), complete, "twice");
        }
    }

    #[test]
    fn commands_for_a_named_server_name_it_too() {
        let typed = Typed { server: Some("--server https://registry.lan".to_owned()), ..Typed::default() };
        assert_eq!(typed.complete("stowage token list"), "stowage token list --server https://registry.lan");
        let there = "make one on the server: stowage token create USER";
        assert_eq!(typed.complete(there), there);
        assert_eq!(typed.complete("stowage serve"), "stowage serve");
    }
}
