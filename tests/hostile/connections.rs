//! More connections than anybody needs.

use std::io::BufReader;
use std::time::Duration;

use crate::load::{alone, assert_closed_within, connect, push_and_pull};
use crate::process::{Setup, Stowage};
use crate::support::client::read_response;

const MANY: usize = 2000;
/// Far beyond the server's own times: the machine may be busy.
const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn two_thousand_silent_connections_keep_nobody_out_and_end() {
    let _turn = alone();
    let settings = "[server]\nclient_header_timeout = \"6s\"";
    let server = Stowage::start(&Setup { open: true, settings, ..Setup::default() });
    let silent = connect(&server, MANY, |_| Vec::new());
    push_and_pull(&server.client(), "meanwhile");
    server.assert_small();
    server.assert_at_rest();
    assert_closed_within(silent, LIMIT);
    server.assert_at_rest();
}

#[test]
fn two_thousand_kept_connections_keep_nobody_out_although_few_files_were_permitted_at_first() {
    let _turn = alone();
    let server = Stowage::start(&Setup { open: true, open_files: Some(1024), ..Setup::default() });
    let kept = connect(&server, MANY, |_| b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    push_and_pull(&server.client(), "meanwhile");
    for stream in &kept {
        read_response(&mut BufReader::new(stream), false).expect(200);
    }
    server.assert_small();
    server.assert_at_rest();
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let _turn = alone();
    let settings = "[server]\nmax_connections = 100\nclient_header_timeout = \"4s\"";
    let server = Stowage::start(&Setup { open: true, settings, ..Setup::default() });
    let silent = connect(&server, 150, |_| Vec::new());
    push_and_pull(&server.client(), "meanwhile");
    assert_closed_within(silent, LIMIT);
    server.assert_at_rest();
}

#[test]
fn connections_that_are_dropped_in_the_middle_leave_nothing_behind() {
    let _turn = alone();
    let server = Stowage::open();
    let requests: [&[u8]; 4] = [
        b"",
        b"GET /v2/ HTTP/1.1\r\nHost:",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
        b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ];
    for _ in 0..3 {
        let streams = connect(&server, 400, |number| requests[number % 4].to_vec());
        for (number, stream) in streams.iter().enumerate() {
            if number % 3 == 0 {
                // Closing then resets the connection instead of ending it.
                rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
            }
        }
    }
    push_and_pull(&server.client(), "afterwards");
    server.assert_small();
    server.assert_at_rest();
}
