//! Heads of requests that arrive slowly, never end, or are too large.

use std::io::{BufReader, Write as _};
use std::time::Duration;

use stowage::limits::Resource;
use stowage::server::{FREE_HEAD, HEAD_POOL, LARGEST_HEAD};

use crate::attack::{Load, Site, Then, Who};
use crate::load::alone;
use crate::process::Stowage;
use crate::support::client::read_response;
use crate::support::eventually;

const SHORT: &str = "[server]\nclient_header_timeout = \"3s\"\nkeep_alive = \"3s\"";
const REQUEST: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
const UNFINISHED: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ";
const CRAWL: Then<'static> = Then::Trickle(b"x", Duration::from_millis(300));

/// A head of this size without an end.
fn unfinished(size: usize) -> Vec<u8> {
    let mut head = UNFINISHED.to_vec();
    head.resize(size, b'x');
    head
}

/// A complete request that every second connection sends first, so that it is one that is kept alive.
fn before(number: usize) -> &'static [u8] {
    if number.is_multiple_of(2) { b"" } else { REQUEST }
}

#[test]
fn heads_that_never_end_are_given_up_however_they_trickle() {
    for who in Who::ANYBODY {
        let site = Site::start(who, SHORT);
        let load = Load {
            name: "slow heads, on new and on kept connections",
            connections: 600,
            accepted: 600,
            sends: &|number| [before(number), UNFINISHED].concat(),
            then: CRAWL,
            // On a connection that is kept alive, the response to the first request is not part of the load.
            refusals: &[401],
            ..Load::default()
        };
        site.until_closed(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn heads_without_an_end_are_closed_when_the_client_stops_sending() {
    for who in Who::ANYBODY {
        let site = Site::start(who, "");
        let load = Load {
            name: "heads that are cut off",
            connections: 300,
            sends: &|_| UNFINISHED.to_vec(),
            then: Then::End,
            ..Load::default()
        };
        site.until_closed(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn large_heads_cost_little_memory() {
    for who in Who::ANYBODY {
        let site = Site::start(who, "");
        let connections = site.limit(Resource::Connections).min(2000);
        let load = Load {
            name: "large heads, on new and on kept connections",
            connections,
            // The others find the memory for large heads used up, and are closed.
            accepted: connections.min(HEAD_POOL / (LARGEST_HEAD - FREE_HEAD)),
            sends: &|number| [before(number), &unfinished(LARGEST_HEAD - 1)].concat(),
            refusals: &[401],
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn heads_above_the_limit_are_refused_and_cost_little_memory() {
    for who in Who::ANYBODY {
        let site = Site::start(who, "");
        let connections = site.limit(Resource::Connections).min(2000);
        let load = Load {
            name: "heads above the limit",
            connections,
            sends: &|_| unfinished(4 * LARGEST_HEAD),
            refusals: &[431],
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn what_is_refused_before_it_is_a_request_leaves_a_line_in_the_log() {
    let _turn = alone();
    let server = Stowage::open();
    for (sent, status) in [(b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400), (unfinished(LARGEST_HEAD + 1), 431)] {
        let mut stream = server.client().connect();
        stream.write_all(&sent).unwrap();
        read_response(&mut BufReader::new(&stream), false).expect(status);
        let (peer, status) = (stream.local_addr().unwrap().to_string(), status.to_string());
        eventually("the refusal is logged", || {
            server.log().lines().any(|line| line.contains(&peer) && line.contains(&status))
        });
    }
}
