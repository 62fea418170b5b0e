//! Very many connections.

use std::time::Duration;

use stowage::limits::Resource;

use crate::attack::{Load, Site, Who};
use crate::load::{connect, push_and_pull};
use crate::process::Setup;

const REQUEST: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn silent_connections_keep_nobody_out_and_end() {
    for who in Who::ANYBODY {
        let site = Site::start(who, "[server]\nclient_header_timeout = \"5s\"");
        let connections = site.limit(Resource::Connections).min(2000);
        let load = Load {
            name: "silent connections",
            connections,
            accepted: connections,
            given_up: Some(site.config.server.client_header_timeout.duration()),
            ..Load::default()
        };
        site.until_closed(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn kept_connections_keep_nobody_out_although_few_files_were_permitted_at_first() {
    for who in Who::ANYBODY {
        let site = Site::with(who, &Setup { open_files: Some(1024), ..Setup::default() });
        let connections = site.limit(Resource::Connections).min(2000);
        let load = Load {
            name: "kept connections",
            connections,
            accepted: connections,
            sends: &|_| REQUEST.to_vec(),
            refusals: &[401],
            ..Load::default()
        };
        site.until_answered(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    for who in Who::ANYBODY {
        let site = Site::start(
            who,
            "[server]\nmax_connections = 100\nclient_header_timeout = \"2s\"\ntrusted_proxies = []",
        );
        let load = Load {
            name: "silent connections beyond the limit",
            connections: site.config.server.max_connections * 3 / 2,
            // One address may have half of them.
            addresses: 3,
            accepted: site.config.server.max_connections,
            given_up: Some(site.config.server.client_header_timeout.duration()),
            ..Load::default()
        };
        site.until_closed(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn silent_connections_of_a_trusted_address_leave_room_for_others() {
    // Every load comes from the loopback interface, whose addresses are trusted proxies by default.
    for who in Who::ANYBODY {
        let site = Site::start(who, "[server]\nmax_connections = 100\nclient_header_timeout = \"1m\"");
        let load = Load {
            name: "silent connections of a local process",
            connections: 2 * site.config.server.max_connections,
            accepted: site.limit(Resource::Connections),
            ..Load::default()
        };
        site.under(&load).assert_held();
        site.server.assert_at_rest();
    }
}

#[test]
fn one_user_on_every_connection_leaves_room_for_others() {
    let site = Site::start(Who::User, "[server]\nmax_connections = 120");
    // The password is verified once and cached, so that it is not verified for each connection.
    site.attacker.get("/v2/").expect(200);
    let load = Load {
        name: "connections of one user",
        connections: site.config.server.max_connections,
        // Enough addresses that none has too many.
        addresses: 4,
        accepted: site.limit(Resource::UserConnections),
        sends: &|_| site.head("GET", "/v2/", &[]),
        ..Load::default()
    };
    let outcome = site.until_answered(&load);
    outcome.assert_held();
    assert_eq!(outcome.limited, load.connections - load.accepted);
    site.server.assert_at_rest();
}

#[test]
fn connections_that_are_dropped_in_the_middle_leave_nothing_behind() {
    let site = Site::start(Who::Open, "");
    let server = &site.server;
    let requests: [&[u8]; 4] = [
        b"",
        b"GET /v2/ HTTP/1.1\r\nHost:",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
        b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ];
    for _ in 0..3 {
        let streams = connect(server, 400, |number| requests[number % 4].to_vec());
        for (number, stream) in streams.iter().enumerate() {
            if number % 3 == 0 {
                // With linger 0, closing resets the connection.
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
            }
        }
    }
    push_and_pull(&server.client(), "afterwards");
    server.assert_small();
    server.assert_at_rest();
}
