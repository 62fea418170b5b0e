//! Requests that try to fill the log.

use stowage::server::LARGEST_HEAD;

use crate::attack::{Load, Site, Then, Who};
use crate::process::Setup;

/// The longest line about one request.
const LINE: usize = 2 << 10;

#[test]
fn long_paths_of_strangers_leave_short_lines_in_the_log() {
    for who in Who::ANYBODY {
        let site = Site::with(who, &Setup { level: "info", ..Setup::default() });
        let path = format!("/v2/{}/tags/list", "x".repeat(LARGEST_HEAD - 1024));
        let load = Load {
            name: "long paths, each of which is logged",
            connections: 300,
            accepted: 300,
            sends: &|_| site.head("GET", &path, &[]),
            then: Then::Again,
            refusals: &[400, 401],
            ..Load::default()
        };
        site.until_answered(&load).assert_held();
        let log = site.server.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("/v2/xxx")).collect();
        assert!(lines.len() >= load.connections, "{} requests are logged", lines.len());
        let longest = lines.iter().map(|line| line.len()).max().expect("one at least");
        assert!(longest < LINE, "a line of {longest} bytes");
        site.server.assert_at_rest();
    }
}
