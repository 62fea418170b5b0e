//! Heads of requests that come slowly, never end, or are far too large.

use std::time::{Duration, Instant};

use crate::load::{alone, assert_closed_within, connect, push_and_pull, trickle};
use crate::process::{Setup, Stowage};
use crate::support::client::read_response;

const SHORT: &str = "[server]\nclient_header_timeout = \"3s\"\nkeep_alive = \"3s\"";
/// Far beyond the times in [`SHORT`]: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);
const UNFINISHED: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ";

fn short() -> Stowage {
    Stowage::start(&Setup { open: true, settings: SHORT, ..Setup::default() })
}

#[test]
fn a_head_that_never_ends_is_given_up_however_it_trickles() {
    let _turn = alone();
    let server = short();
    let mut slow = connect(&server, 300, |_| UNFINISHED.to_vec());
    push_and_pull(&server.client(), "meanwhile");
    let started = Instant::now();
    while !slow.is_empty() {
        assert!(started.elapsed() < LIMIT, "{} heads are still waited for", slow.len());
        trickle(&mut slow);
        std::thread::sleep(Duration::from_millis(300));
    }
    server.assert_small();
    server.assert_at_rest();
}

#[test]
fn a_later_head_on_a_kept_connection_is_given_up_as_well() {
    let _turn = alone();
    let server = short();
    let mut slow = connect(&server, 300, |_| b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    for stream in &mut slow {
        read_response(&mut std::io::BufReader::new(&*stream), false).expect(200);
        std::io::Write::write_all(stream, UNFINISHED).unwrap();
    }
    push_and_pull(&server.client(), "meanwhile");
    let started = Instant::now();
    while !slow.is_empty() {
        assert!(started.elapsed() < LIMIT, "{} heads are still waited for", slow.len());
        trickle(&mut slow);
        std::thread::sleep(Duration::from_millis(300));
    }
    server.assert_at_rest();
}

#[test]
fn two_thousand_large_heads_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let mut large = UNFINISHED.to_vec();
    large.resize(120 << 10, b'x');
    let streams = connect(&server, 2000, |_| large.clone());
    push_and_pull(&server.client(), "meanwhile");
    server.assert_small();
    drop(streams);
    server.assert_at_rest();
}

#[test]
fn two_thousand_large_heads_on_kept_connections_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let mut large = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    large.extend_from_slice(UNFINISHED);
    large.resize(120 << 10, b'x');
    let streams = connect(&server, 2000, |_| large.clone());
    push_and_pull(&server.client(), "meanwhile");
    server.assert_small();
    drop(streams);
    server.assert_at_rest();
}

#[test]
fn heads_without_an_end_are_closed_when_the_client_stops_sending() {
    let _turn = alone();
    let server = short();
    let streams = connect(&server, 300, |_| UNFINISHED.to_vec());
    for stream in &streams {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    push_and_pull(&server.client(), "meanwhile");
    assert_closed_within(streams, LIMIT);
    server.assert_at_rest();
}
