//! The limit of open files of this process; each connection takes one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are not connections: blobs, uploads, the database, the log.
const BESIDE_CONNECTIONS: u64 = 512;

/// Raises the limit of open files as far as permitted, and returns how many connections fit into it, at most
/// `wanted`. A server without free descriptors could not even answer that a client must wait.
pub(super) fn connections(wanted: usize) -> usize {
    let mut files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        files.current = files.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::warn!(%error, "cannot raise the limit on open files");
        }
    }
    let fitting = fitting(getrlimit(Resource::Nofile).current);
    if fitting < wanted {
        tracing::warn!(
            wanted,
            connections = fitting,
            "the limit on open files is too low for server.max_connections"
        );
    }
    wanted.min(fitting)
}

/// Connections that fit into the descriptor limit; no limit without a number.
fn fitting(files: Option<u64>) -> usize {
    let Some(files) = files else { return usize::MAX };
    // If the limit is low, half of it is left for everything else.
    usize::try_from(files.saturating_sub(BESIDE_CONNECTIONS).max(files / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        assert_eq!(fitting(None), usize::MAX);
        assert_eq!(fitting(Some(20_000)), 19_488);
        assert_eq!(fitting(Some(600)), 300);
    }
}
