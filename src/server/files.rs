//! How many files this process may have open: each connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are not connections: blobs and uploads under way, the database, the log.
const BESIDE_CONNECTIONS: u64 = 512;

/// Takes all the files that are permitted, and returns how many connections fit into them: `wanted` at most.
/// Without files a server cannot even tell its clients to wait.
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

/// Connections for which so many files do; there is no limit without a number.
fn fitting(files: Option<u64>) -> usize {
    let Some(files) = files else { return usize::MAX };
    // Of few files half are left to everything else.
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
