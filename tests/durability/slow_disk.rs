//! A disk that takes 10 MB/s: an upload is answered soon after its last byte, however large it is and however
//! many run, because the number of dirty bytes is limited.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_send_buffer_size;
use stowage::model::digest::{Algorithm, Hasher};

use crate::process::{Stowage, assert_whole, note};
use crate::support::content::{bytes, open_upload};
use crate::volume::Volume;

const DISK: u64 = 10_000_000;
/// The time from the last byte of an upload to its response, for most uploads of one run.
const SOON: Duration = Duration::from_secs(8);
/// The same for each upload. The kernel decides whose bytes are written first: the sync of an upload that
/// went ahead waits for the journal, and so for the bytes of others.
const LATEST: Duration = Duration::from_secs(11);
const MIB: usize = 1 << 20;

/// Content that is generated while it is sent, and its digest.
struct Content {
    seed: u64,
    mib: usize,
}

impl Content {
    fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let seed = self.seed << 32;
        (0..self.mib as u64).map(move |number| bytes(seed + number + 1, MIB))
    }

    fn digest(&self) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.pieces().for_each(|piece| hasher.update(&piece));
        hasher.finish().to_string()
    }

    /// Sends it as one body; returns how long the response took after the last byte.
    fn send(&self, address: SocketAddr, method: &str, path: &str, expected: u16) -> Duration {
        let mut stream = TcpStream::connect(address).expect("the server is there");
        // Bytes in the client's socket buffer are not sent yet, so the buffer is small.
        set_socket_send_buffer_size(&stream, 64 << 10).expect("the kernel takes it");
        let length = self.mib * MIB;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it is sent");
        for piece in self.pieces() {
            stream.write_all(&piece).expect("it is sent");
        }
        let sent = Instant::now();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
        sent.elapsed()
    }
}

/// Sends several blobs at once, each in one request or as docker does; returns the waiting times for their
/// responses, sorted.
fn waits(server: &Stowage, contents: &[Content], as_docker: bool) -> Vec<Duration> {
    let digests: Vec<String> = contents.iter().map(Content::digest).collect();
    let begun = Instant::now();
    let waits: Vec<Duration> = thread::scope(|scope| {
        let sends = contents.iter().zip(&digests).map(|(content, digest)| {
            scope.spawn(move || {
                if !as_docker {
                    let path = format!("/v2/team/app/blobs/uploads/?digest={digest}");
                    return content.send(server.address, "POST", &path, 201);
                }
                let client = server.client();
                let upload = open_upload(&client, "team/app");
                let patched = content.send(server.address, "PATCH", &upload, 202);
                let closing = Instant::now();
                client.put(&format!("{upload}?digest={digest}"), b"").expect(201);
                patched.max(closing.elapsed())
            })
        });
        let sends: Vec<_> = sends.collect();
        let mut waits: Vec<_> = sends.into_iter().map(|send| send.join().expect("no panic")).collect();
        waits.sort();
        waits
    });
    let mib: usize = contents.iter().map(|content| content.mib).sum();
    note(&format!("{} uploads, {mib} MiB in {:?}, waited {waits:?}", contents.len(), begun.elapsed()));
    let least = Duration::from_millis((mib * MIB) as u64 * 800 / DISK);
    assert!(begun.elapsed() > least, "the disk is not slow: {:?} for {mib} MiB", begun.elapsed());
    waits
}

fn uploads_to_a_slow_disk(mib: &[usize], as_docker: bool) {
    let room = mib.iter().sum::<usize>() as u64 + 200;
    let Some(volume) = Volume::on_device(room) else { return };
    let data = volume.path().join("data");
    let server = Stowage::start(&data);
    let contents: Vec<Content> = (1..).zip(mib).map(|(seed, &mib)| Content { seed, mib }).collect();
    {
        let Some(_brake) = volume.slow_down(DISK) else { return };
        let waits = waits(&server, &contents, as_docker);
        // The upper median; for one upload its own time.
        assert!(waits[waits.len() / 2] < SOON, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < LATEST), "{waits:?}");
    }
    server.stop();
    assert_whole(&data);
}

#[test]
fn a_blob_to_a_slow_disk_is_answered_soon_after_its_last_byte() {
    uploads_to_a_slow_disk(&[144], true);
}

#[test]
#[ignore = "it takes four minutes and 2.2 GB of memory"]
fn a_blob_of_2_gb_to_a_slow_disk_is_answered_soon_after_its_last_byte() {
    uploads_to_a_slow_disk(&[2048], true);
}

#[test]
#[ignore = "it needs the cores for itself: .ci/run runs it alone"]
fn four_uploads_at_once_to_a_slow_disk_are_answered_soon_after_their_last_bytes() {
    uploads_to_a_slow_disk(&[36; 4], false);
}

#[test]
#[ignore = "it takes three minutes"]
fn four_long_uploads_to_a_slow_disk_are_answered_soon_after_their_last_bytes() {
    for (mib, as_docker) in [(&[150; 4], true), (&[300, 10, 200, 40], false)] {
        uploads_to_a_slow_disk(mib, as_docker);
    }
}
