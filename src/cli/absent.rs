//! Commands that users expect from other registries and that Stowage does not have: what to do instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::errors::{Exit, Failure};

/// Whether a command may come later, or is not planned.
#[derive(Clone, Copy)]
enum Missing {
    Yet,
    Always,
}
use Missing::{Always, Yet};

const COPY: &[&str] = &[
    "copy images with another tool: skopeo copy --all docker://SOURCE docker://HOST/REPOSITORY:TAG",
    "or: crane copy SOURCE HOST/REPOSITORY:TAG",
];
const RIGHTS: &[&str] = &[
    "every user may pull and push in every repository, and only admins delete (docs/administration.md)",
    "for a client that only pulls: stowage token create USER --name NAME --scopes read_registry",
];
/// How to undo a deletion.
const UNDO: &[&str] = &["stowage trash list", "stowage trash restore ID"];
const SERVICE: &[&str] = &[
    "start the registry: stowage serve",
    "as a service: sudo systemctl start stowage, and likewise stop, restart and reload (docs/install.md)",
];
const BY_CLIENT: &[&str] =
    &["use your client: docker pull HOST/REPOSITORY:TAG, docker push HOST/REPOSITORY:TAG"];

/// The words after `stowage`, and what to do instead. Each row is one subject.
const ABSENT: &[(Missing, &[&str], &[&str])] = &[
    (
        Always,
        &["garbage-collect", "garbage-collection", "prune", "cleanup", "purge", "vacuum"],
        &[
            "free the space of what nothing uses: stowage gc run --wait (docs/administration.md, \"Garbage collection\")",
            "how much that is, and why it is still there: stowage gc status",
        ],
    ),
    (
        Yet,
        &["backup", "snapshot"],
        &[
            "stop the server, copy the data directory, start the server (docs/install.md, \"Back up and restore\"):",
            "sudo systemctl stop stowage",
            "sudo rsync -a --delete /var/lib/stowage/ /mnt/backup/stowage/",
            "sudo systemctl start stowage",
        ],
    ),
    (
        Yet,
        &["restore"],
        &[
            "stop the server, copy the backup to the data directory, start it (docs/install.md, \"Back up and restore\")",
            "when only the database is lost: stowage rebuild --into NEW-DIR",
        ],
    ),
    (
        Always,
        &["recover", "repair"],
        &["check first: stowage fsck --deep", "a lost database: stowage rebuild --into NEW-DIR"],
    ),
    (
        Always,
        &["logs", "log", "journal"],
        &["of the service: journalctl -u stowage", "without a service: stderr of stowage serve"],
    ),
    (
        Always,
        &["login", "logout"],
        &[
            "sign in with your client: docker login HOST",
            "commands on the server need no sign-in; elsewhere: --server URL --token-file FILE",
        ],
    ),
    (Always, &["users"], &["stowage user list"]),
    (Always, &["adduser", "useradd", "add-user"], &["stowage user add NAME"]),
    (Always, &["passwd", "password"], &["stowage user passwd NAME"]),
    (Always, &["tokens"], &["stowage token list"]),
    (
        Always,
        &["repos", "repository", "repositories", "images", "image", "catalog", "ls", "list"],
        &["stowage repo list"],
    ),
    (Always, &["tags"], &["stowage tag list REPOSITORY"]),
    (Always, &["manifests"], &["stowage manifest list REPOSITORY"]),
    (
        Always,
        &["delete", "rm", "remove", "rmi", "untag"],
        &[
            "one tag: stowage tag delete REPOSITORY:TAG",
            "one image: stowage manifest delete REPOSITORY@DIGEST",
            "all of it: stowage repo delete REPOSITORY",
        ],
    ),
    (
        Yet,
        &["export", "save", "dump"],
        &[
            "export images with another tool: skopeo sync --src docker --dest dir HOST/REPOSITORY DIR",
            "for a backup, copy the data directory (docs/install.md, \"Back up and restore\")",
        ],
    ),
    (
        Yet,
        &["import", "load"],
        &[
            "import images with another tool: skopeo sync --src dir --dest docker DIR HOST",
            "a tar file of docker save: crane push FILE HOST/REPOSITORY:TAG",
        ],
    ),
    (Yet, &["mirror", "sync", "proxy", "pull-through", "replicate", "replication"], COPY),
    (Always, &["copy", "cp"], COPY),
    (
        Yet,
        &[
            "project",
            "projects",
            "group",
            "groups",
            "role",
            "roles",
            "member",
            "members",
            "permission",
            "permissions",
            "acl",
            "grant",
        ],
        RIGHTS,
    ),
    (
        Yet,
        &["policy", "policies", "retention", "immutability"],
        &["delete by hand or from cron: stowage tag delete 'REPOSITORY:PATTERN' --yes"],
    ),
    (
        Yet,
        &["quota", "quotas"],
        &["sizes: stowage repo size", "what one user may hold at once: [limits] in docs/configuration.md"],
    ),
    (Always, &["undelete", "undo", "recycle"], UNDO),
    (
        Always,
        &["schedules", "scheduler", "cron", "timer", "timers"],
        &["stowage schedule list", "a setting of its own: scheduler.check in docs/configuration.md"],
    ),
    (Always, &["job", "task", "tasks"], &["checks and dumps: stowage jobs list"]),
    (
        Yet,
        &["audit", "event", "events", "history", "webhook", "webhooks", "notify"],
        &["the log names who did what: journalctl -u stowage"],
    ),
    (Yet, &["metrics", "ui", "web", "dashboard"], &["stowage status --json", "or the API: stowage openapi"]),
    (Always, &["health", "healthcheck", "ping", "info", "stats", "ps"], &["stowage status --exit-code"]),
    (
        Always,
        &["df", "du", "size", "sizes"],
        &["the disk: stowage status", "repositories and tags: stowage repo size"],
    ),
    (
        Always,
        &["verify", "check", "validate"],
        &["what is stored: stowage fsck --deep", "the configuration: stowage check-config"],
    ),
    (
        Always,
        &["config", "settings", "configure", "setup", "install"],
        &[
            "every setting in effect: stowage check-config --show --sources",
            "a file to start from: stowage init --print",
            "a service: docs/install.md",
        ],
    ),
    (
        Always,
        &["start", "run", "server", "daemon", "registry", "up", "stop", "down", "restart", "reload"],
        SERVICE,
    ),
    (
        Always,
        &["upgrade", "update", "self-update", "migrate"],
        &[
            "install the new binary and restart the server (docs/install.md, \"Upgrade\"); the data needs no other step",
        ],
    ),
    (Always, &["pull", "push"], BY_CLIENT),
    (Always, &["search"], &["stowage repo list"]),
    (
        Always,
        &["repo create", "repo add", "repo new"],
        &["a push creates the repository: docker push HOST/REPOSITORY:TAG"],
    ),
    (Yet, &["repo rename", "repo move", "repo mv"], COPY),
    (Always, &["manifest restore", "repo undelete", "tag undelete", "tag trash"], UNDO),
    (
        Always,
        &["tag create", "tag add", "tag new", "tag copy", "tag rename"],
        &["crane tag HOST/REPOSITORY:OLD NEW"],
    ),
    (
        Always,
        &["tag show", "tag inspect", "manifest show", "manifest inspect"],
        &["stowage tag list REPOSITORY -o wide", "the manifest itself: crane manifest HOST/REPOSITORY:TAG"],
    ),
    (Yet, &["tag protect", "tag lock", "repo protect", "repo lock"], RIGHTS),
    (
        Always,
        &["token rotate", "token renew", "token update", "token edit"],
        &[
            "create a new one: stowage token create USER --name NAME --scopes SCOPES",
            "then end the old one: stowage token revoke TOKEN",
        ],
    ),
    (
        Yet,
        &["user rename", "user edit", "user update", "user set", "user role", "user grant"],
        &[
            "another password: stowage user passwd NAME",
            "for other changes create another user: stowage user add NAME",
        ],
    ),
];

/// The advice for a subcommand that clap does not know, if it is one of [`ABSENT`].
pub(super) fn explained(error: &clap::Error) -> Option<Failure> {
    let typed = typed(error)?;
    let (missing, _, fixes) = ABSENT.iter().find(|(_, names, _)| names.contains(&typed.as_str()))?;
    let yet = match missing {
        Yet => " yet",
        Always => "",
    };
    let failure = Failure::new(Exit::Usage, "COMMAND_ABSENT", format!("there is no `stowage {typed}`{yet}"));
    Some(fixes.iter().fold(failure, |failure, fix| failure.fix(*fix)))
}

/// The unknown subcommand with the ones before it: `repo create`.
fn typed(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let known = usage.split_whitespace().skip_while(|word| *word != "stowage").skip(1);
    let known = known.take_while(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
    Some(known.chain([name.as_str()]).collect::<Vec<_>>().join(" "))
}

/// Removes suggestions that only share some letters with what was typed.
pub(super) fn without_far_suggestions(mut error: clap::Error) -> clap::Error {
    /// The largest edit distance of a suggestion.
    const CLOSE: usize = 2;
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let is_close = |other: &String| strsim::levenshtein(name, other) <= CLOSE;
    let close = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(one)) => is_close(one).then(|| vec![one.clone()]),
        Some(ContextValue::Strings(several)) => {
            Some(several.iter().filter(|one| is_close(one)).cloned().collect())
        }
        _ => return error,
    };
    match close {
        Some(close) if !close.is_empty() => {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(close));
        }
        _ => drop(error.remove(ContextKind::SuggestedSubcommand)),
    }
    error
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cli::program::known;

    #[test]
    fn every_name_is_absent_and_in_one_row() {
        let mut seen = HashSet::new();
        for name in ABSENT.iter().flat_map(|(_, names, _)| *names) {
            assert!(seen.insert(name), "{name} is in two rows");
            let words = ["stowage"].into_iter().chain(name.split(' '));
            let error = known(words).err().unwrap_or_else(|| panic!("there is a command {name}"));
            assert!(explained(&error).is_some(), "{name}: {error}");
        }
    }

    #[test]
    fn every_command_that_is_named_instead_exists() {
        for fix in ABSENT.iter().flat_map(|(_, _, fixes)| *fixes) {
            for command in fix.split("stowage ").skip(1) {
                let words: Vec<&str> = command
                    .split([' ', ','])
                    .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                    .collect();
                if words.is_empty()
                    || fix.contains("systemctl")
                    || fix.contains("-u stowage")
                    || fix.contains("rsync")
                {
                    continue;
                }
                let error = known(["stowage"].into_iter().chain(words.iter().copied().take(2)));
                let unknown = error.err().is_some_and(|error| error.kind() == ErrorKind::InvalidSubcommand);
                assert!(!unknown, "{fix}");
            }
        }
    }
}
