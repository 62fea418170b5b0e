//! For loads that are not many connections: an image that is pushed and pulled meanwhile.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) use crate::attack::alone;

use crate::process::Stowage;
use crate::support::Client;
use crate::support::content::{bytes, push_image};

/// The time limit of a push or a pull under a load. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A push and a pull as docker does them, at the usual pace.
#[track_caller]
pub(crate) fn push_and_pull(client: &Client, tag: &str) {
    let started = Instant::now();
    let layer = bytes(u64::from(std::process::id()) + tag.len() as u64, 300_000);
    let manifest = push_image(client, "team/app", tag, &layer);
    assert_eq!(client.get(&format!("/v2/team/app/manifests/{tag}")).expect(200).body, manifest);
    let digest = crate::support::content::sha256(&layer);
    assert!(client.get(&format!("/v2/team/app/blobs/{digest}")).expect(200).body == layer);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

/// Opens many connections, each of which sends this.
pub(crate) fn connect(
    server: &Stowage,
    count: usize,
    mut sent: impl FnMut(usize) -> Vec<u8>,
) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = server.client().connect();
        // The server may have refused the connection already.
        let _ = stream.write_all(&sent(number));
        streams.push(stream);
    }
    streams
}
