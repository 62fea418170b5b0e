//! Bodies that come slowly, in crumbs, or not at all.

use std::io::Write as _;
use std::time::{Duration, Instant};

use stowage::model::media_type::OCI_MANIFEST;

use crate::load::{alone, connect, push_and_pull, trickle};
use crate::process::Stowage;
use crate::support::content::open_upload;

/// Sends a byte over each connection every half second, as long as something else goes on beside it.
fn slowly(streams: &mut Vec<std::net::TcpStream>, server: &Stowage) {
    let client = server.client();
    let beside = std::thread::spawn(move || push_and_pull(&client, "meanwhile"));
    let started = Instant::now();
    while !beside.is_finished() || started.elapsed() < Duration::from_secs(3) {
        trickle(streams);
        std::thread::sleep(Duration::from_millis(500));
    }
    beside.join().expect("others are served meanwhile");
}

#[test]
fn two_hundred_slow_uploads_keep_nobody_out() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let uploads: Vec<String> = (0..200).map(|_| open_upload(&client, "team/slow")).collect();
    let mut slow = connect(&server, 200, |number| {
        let headers = [("Content-Length", "10000000")];
        client.head_of("PATCH", &uploads[number], &headers).into_bytes()
    });
    slowly(&mut slow, &server);
    server.assert_small();
    drop(slow);
    server.assert_at_rest();
}

#[test]
fn two_hundred_slow_manifests_keep_nobody_out() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let mut slow = connect(&server, 200, |number| {
        let length = if number % 2 == 0 { "4000000" } else { "60000" };
        let headers = [("Content-Type", OCI_MANIFEST), ("Content-Length", length)];
        client.head_of("PUT", "/v2/team/slow/manifests/t", &headers).into_bytes()
    });
    slowly(&mut slow, &server);
    server.assert_small();
    drop(slow);
    server.assert_at_rest();
}

#[test]
fn uploads_in_chunks_of_one_byte_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let uploads: Vec<String> = (0..100).map(|_| open_upload(&client, "team/crumbs")).collect();
    // Just not enough for the server to write it away.
    let crumbs = b"1\r\nx\r\n".repeat(60_000);
    std::thread::scope(|scope| {
        for uploads in uploads.chunks(25) {
            let (client, crumbs) = (&client, &crumbs);
            scope.spawn(move || {
                let streams: Vec<_> = uploads
                    .iter()
                    .map(|upload| {
                        let mut stream = client.connect();
                        stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a socket option");
                        let head = client.head_of("PATCH", upload, &[("Transfer-Encoding", "chunked")]);
                        let _ = stream.write_all(head.as_bytes());
                        // Those that have to wait for their turn are not read.
                        let _ = stream.write_all(crumbs);
                        stream
                    })
                    .collect();
                std::thread::sleep(Duration::from_secs(1));
                drop(streams);
            });
        }
    });
    push_and_pull(&client, "afterwards");
    server.assert_small();
    server.assert_at_rest();
}

#[test]
fn manifests_in_chunks_of_one_byte_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let crumbs = b"1\r\nx\r\n".repeat(50_000);
    let streams = connect(&server, 200, |_| {
        let headers = [("Content-Type", OCI_MANIFEST), ("Transfer-Encoding", "chunked")];
        let mut sent = client.head_of("PUT", "/v2/team/crumbs/manifests/t", &headers).into_bytes();
        sent.extend_from_slice(&crumbs);
        sent
    });
    push_and_pull(&client, "meanwhile");
    server.assert_small();
    drop(streams);
    server.assert_at_rest();
}

#[test]
fn two_thousand_forms_that_never_end_cost_little_memory() {
    let _turn = alone();
    let server = Stowage::open();
    let client = server.client();
    let form = vec![b'x'; 60_000];
    let streams = connect(&server, 2000, |_| {
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "65000")];
        let mut sent = client.head_of("POST", "/token", &headers).into_bytes();
        sent.extend_from_slice(&form);
        sent
    });
    push_and_pull(&client, "meanwhile");
    server.assert_small();
    drop(streams);
    server.assert_at_rest();
}
