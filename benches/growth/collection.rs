//! Garbage collection in a grown store, while clients read and push: its cost follows from the garbage.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::compaction::copy;
use crate::failure::Failure;
use crate::layout::{Layout, digest_of};
use crate::meanwhile::{self, Latency};
use crate::process;
use crate::requests::SETTINGS;
use crate::server::Server;

/// Connections that push what becomes garbage.
const CONNECTIONS: u64 = 8;
/// For so long the server is left alone afterwards.
const IDLE: Duration = Duration::from_secs(20);

/// A run that freed the space of what was deleted.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    pub(crate) blobs: u64,
    /// Bytes that were freed.
    pub(crate) freed: u64,
    pub(crate) took: Duration,
    /// The peak memory of the server meanwhile, in bytes.
    pub(crate) peak: u64,
    pub(crate) reads: Latency,
    pub(crate) pushes: Latency,
    /// The share of a core that the server used when nobody asked it for anything.
    pub(crate) idle: f64,
}

/// Copies the store into `dir`, pushes blobs to it and deletes their repositories, and frees their space.
pub(crate) fn measure(
    runtime: &Runtime,
    (data_dir, dir): (&Path, &Path),
    layout: &Layout,
    blobs: u64,
    connections: usize,
) -> Result<Collected, Failure> {
    copy(data_dir, dir, true)?;
    let server = Server::start(dir, SETTINGS)?;
    let pushed: Vec<Result<(), Failure>> = thread::scope(|scope| {
        let server = &server;
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|lane| scope.spawn(move || push(server, lane, blobs / CONNECTIONS)))
            .collect();
        let panicked = || Failure("a thread of the load command panicked".into());
        threads.into_iter().map(|thread| thread.join().map_err(|_| panicked())?).collect()
    });
    pushed.into_iter().collect::<Result<(), _>>()?;
    for lane in 0..CONNECTIONS {
        server.delete(&format!("/api/v1/repositories/{}", repository(lane)))?;
    }
    let request = ("/api/v1/gc/runs", r#"{"empty_trash":true}"#);
    let met = meanwhile::run(runtime, &server, layout, connections, request)?;
    let number = |name: &str| met.job["result"][name].as_u64().unwrap_or(0);
    let done = (number("blobs"), number("freed_bytes"));
    if done.0 < blobs / CONNECTIONS * CONNECTIONS {
        return Err(Failure(format!("not all was collected: {}", met.job)));
    }
    let cpu = || process::cpu_time(server.id()).unwrap_or_default();
    let before = cpu();
    thread::sleep(IDLE);
    let idle = cpu().saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64();
    let took = meanwhile::took(&met.job)?;
    server.stop()?;
    let (blobs, freed) = done;
    Ok(Collected { blobs, freed, took, peak: met.peak, reads: met.reads, pushes: met.pushes, idle })
}

fn repository(lane: u64) -> String {
    format!("garbage/lane{lane}")
}

/// Pushes small blobs, each in one request.
fn push(server: &Server, lane: u64, blobs: u64) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 4096];
    for number in 0..blobs {
        let body = format!("garbage {lane} {number}");
        let digest = digest_of(body.as_bytes());
        let request = format!(
            "POST /v2/{}/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n{body}",
            repository(lane),
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut received = 0;
        while !answer[..received].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut answer[received..])?;
            if read == 0 {
                return Err(Failure(format!("blob {number}: no answer")));
            }
            received += read;
        }
        if !answer.starts_with(b"HTTP/1.1 201") {
            let shown = String::from_utf8_lossy(&answer[..received]);
            return Err(Failure(format!("blob {number}: {shown}")));
        }
    }
    Ok(())
}
