//! A file system that turns read-only under load: what was acknowledged stays, pulls work, pushes are refused
//! with the reason, and on a writable file system everything is intact again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use stowage::model::media_type::OCI_MANIFEST;

use crate::exchange::exchange;
use crate::process::{Stowage, assert_whole};
use crate::support::content::{bytes, image, push_image, sha256};
use crate::support::eventually;
use crate::volume::Volume;

const PUSHERS: usize = 4;
const PULLERS: usize = 3;
/// The refusals that each pusher must get after the first one, and the pulls that must succeed meanwhile.
const AFTERWARDS: usize = 10;

/// The acknowledged content: paths and bytes.
type Books = Mutex<Vec<(String, Vec<u8>)>>;

/// The clients of a load, and what they observed.
struct Load {
    address: SocketAddr,
    books: Books,
    /// Whether the disk is read-only, or may become so at any moment.
    trouble: AtomicBool,
    /// Whether it is read-only and no earlier commit is in progress any more.
    settled: AtomicBool,
    over: AtomicBool,
    /// Proper refusals of each pusher.
    refused: [AtomicUsize; PUSHERS],
    pulled: AtomicUsize,
}

impl Load {
    fn new(address: SocketAddr) -> Self {
        let [trouble, settled, over] = [const { AtomicBool::new(false) }; 3];
        let refused = [const { AtomicUsize::new(0) }; PUSHERS];
        Self {
            address,
            books: Mutex::default(),
            trouble,
            settled,
            over,
            refused,
            pulled: AtomicUsize::new(0),
        }
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Vec<(String, Vec<u8>)>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends something that may be refused once the disk is read-only; returns whether it was acknowledged.
    fn push(
        &self,
        pusher: usize,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> bool {
        let settled = self.settled.load(Ordering::SeqCst);
        let answer = exchange(self.address, method, path, headers, body).expect("a whole answer");
        if answer.status == 201 {
            assert!(!settled, "{path} was taken by a disk that takes nothing");
            return true;
        }
        assert!(self.trouble.load(Ordering::SeqCst), "{path}: {answer:?}");
        let body = String::from_utf8_lossy(&answer.body);
        // A change that was being committed at that moment may end differently.
        let clear = answer.status == 405 && body.contains("UNSUPPORTED") && body.contains("read-only");
        assert!(clear || (!settled && answer.status >= 500), "{path}: {answer:?}");
        self.refused[pusher].fetch_add(usize::from(clear), Ordering::SeqCst);
        false
    }

    /// Waits until each pusher was refused this many times.
    fn await_refusals(&self, times: usize) {
        eventually("clear refusals", || {
            self.refused.iter().all(|refused| refused.load(Ordering::SeqCst) >= times)
        });
    }

    fn pushes(&self, pusher: usize) {
        let name = format!("team/app{pusher}");
        for number in 0.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let layer = bytes((1 + number * PUSHERS + pusher) as u64, 50_000);
            let mut blobs = [b"{}".to_vec(), layer.clone()].into_iter().map(|content| {
                let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(&content));
                let taken = self.push(pusher, ("POST", &path), &[], &content);
                if taken {
                    let path = format!("/v2/{name}/blobs/{}", sha256(&content));
                    self.books().push((path, content));
                }
                taken
            });
            if blobs.all(|taken| taken) {
                let path = format!("/v2/{name}/manifests/v{number}");
                let manifest = image(&[&layer]);
                if self.push(pusher, ("PUT", &path), &[("Content-Type", OCI_MANIFEST)], &manifest) {
                    self.books().push((path, manifest));
                }
            }
        }
    }

    fn pulls(&self, puller: usize) {
        for number in 0.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let found = {
                let books = self.books();
                let place = (number * 31 + puller * 7) % books.len().max(1);
                books.get(place).cloned()
            };
            let Some((path, content)) = found else { continue };
            self.pull(&path, &content);
            self.pulled.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn pull(&self, path: &str, content: &[u8]) {
        // While the database is reopened, a pull may get 503, and is tried again.
        eventually(path, || {
            let settled = self.settled.load(Ordering::SeqCst);
            let answer = exchange(self.address, "GET", path, &[], b"").expect("a whole answer");
            let later = answer.status == 503 && !settled;
            assert!(later || (answer.status == 200 && answer.body == content), "{path}: {}", answer.head);
            !later
        });
    }

    /// Runs all clients, and changes the disk in the middle.
    fn run(&self, trouble: impl FnOnce()) {
        thread::scope(|scope| {
            let over = End(&self.over);
            for pusher in 0..PUSHERS {
                scope.spawn(move || self.pushes(pusher));
            }
            for puller in 0..PULLERS {
                scope.spawn(move || self.pulls(puller));
            }
            eventually("some pushes", || self.books().len() > 100);
            self.trouble.store(true, Ordering::SeqCst);
            trouble();
            // A pusher that was refused has no request in progress that was sent before the disk changed.
            self.await_refusals(1);
            self.settled.store(true, Ordering::SeqCst);
            let pulled = self.pulled.load(Ordering::SeqCst);
            self.await_refusals(1 + AFTERWARDS);
            eventually("pulls go on", || self.pulled.load(Ordering::SeqCst) >= pulled + AFTERWARDS);
            drop(over);
        });
    }
}

/// Ends the load, even if the test has failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_disk_that_turns_read_only_under_load_keeps_what_was_acknowledged() {
    let Some(mut volume) = Volume::on_device(256) else { return };
    let data = volume.path().join("data");
    for _ in 0..3 {
        let server = Stowage::start(&data);
        let load = Load::new(server.address);
        load.run(|| volume.break_down());
        for (path, content) in load.books().iter() {
            load.pull(path, content);
        }
        server.stop();

        volume.mount_again();
        assert_whole(&data);
        let server = Stowage::start(&data);
        let load = Load { address: server.address, ..load };
        for (path, content) in load.books().iter() {
            load.pull(path, content);
        }
        push_image(&server.client(), "team/after", "latest", b"layer");
        server.stop();
        assert_whole(&data);
    }
}
