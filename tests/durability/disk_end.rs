//! A disk without a free byte or a free inode, on common file systems: everything is there, deletions work,
//! and so does a restart.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use crate::full_disk::{MIB, assert_full, assert_there, fill, push};
use crate::process::{Stowage, assert_whole};
use crate::support::content::{bytes, push_blob, push_image, sha256};
use crate::support::{Client, eventually};
use crate::volume::{Kind, Volume};

/// Images in the store when the disk is full.
const IMAGES: u64 = 40;

/// Files that another program has put on the disk.
struct Filler(PathBuf);

impl Filler {
    fn new(volume: &Volume) -> Self {
        let dir = volume.path().join("filler");
        fs::create_dir(&dir).expect("there is room yet");
        File::create(dir.join("bytes")).expect("there is room yet");
        Self(dir)
    }

    fn bytes(&self) -> PathBuf {
        self.0.join("bytes")
    }

    /// Uses up all inodes, then all bytes.
    fn fill_up(&self) {
        for number in 0.. {
            // The names of the files take few blocks of the directory, so inodes run out before bytes.
            if File::create(self.0.join(format!("{number}"))).is_err() {
                break;
            }
        }
        self.fill_bytes();
        assert_eq!(statvfs(&self.0).expect("the file system tells").f_favail, 0);
    }

    fn fill_bytes(&self) {
        for _ in 0..3 {
            fill(&self.bytes(), 0);
            File::open(self.bytes()).and_then(|file| file.sync_all()).expect("it is synced");
        }
        assert_eq!(statvfs(&self.0).expect("the file system tells").f_bavail, 0);
    }

    fn remove(&self) {
        fs::remove_dir_all(&self.0).expect("it can be removed");
    }
}

/// A store on a full disk, and what it must contain.
struct Store {
    server: Stowage,
    manifests: Vec<(String, Vec<u8>)>,
    contents: Vec<Vec<u8>>,
}

impl Store {
    fn new(data: &Path) -> Self {
        let server = Stowage::start(data);
        let client = server.client();
        let mut manifests = Vec::new();
        for number in 0..IMAGES {
            let tag = format!("v{number}");
            let manifest = push_image(&client, "team/app", &tag, &bytes(number, 30_000));
            manifests.push((tag, manifest));
        }
        let contents: Vec<Vec<u8>> = (0..IMAGES).map(|number| bytes(1000 + number, 20_000)).collect();
        for content in &contents {
            push_blob(&client, "team/app", content);
        }
        Self { server, manifests, contents }
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    fn assert_pulls(&self) {
        let client = self.client();
        for (tag, manifest) in &self.manifests {
            let path = format!("/v2/team/app/manifests/{tag}");
            assert!(client.get(&path).expect(200).body == *manifest, "{path}");
        }
        assert_there(&self.server, &self.contents);
    }

    fn assert_refuses_pushes(&self) {
        for seed in 0..3 {
            let refused = push(&self.server, &bytes(5000 + seed, 100_000));
            assert_full(&refused);
        }
    }

    /// Deletes this many tags, manifests and blobs, one after the other.
    fn assert_deletes(&mut self, each: usize) {
        let client = self.client();
        for _ in 0..each {
            let (tag, _) = self.manifests.pop().expect("enough of them");
            client.delete(&format!("/v2/team/app/manifests/{tag}")).expect(202);
            client.get(&format!("/v2/team/app/manifests/{tag}")).expect(404);
            let (tag, manifest) = self.manifests.pop().expect("enough of them");
            client.delete(&format!("/v2/team/app/manifests/{}", sha256(&manifest))).expect(202);
            client.get(&format!("/v2/team/app/manifests/{tag}")).expect(404);
            let content = self.contents.pop().expect("enough of them");
            client.delete(&format!("/v2/team/app/blobs/{}", sha256(&content))).expect(202);
            client.get(&format!("/v2/team/app/blobs/{}", sha256(&content))).expect(404);
        }
    }
}

fn the_end_of_a_disk(kind: Kind, fill_up: impl Fn(&Filler)) {
    let Some(volume) = Volume::small(kind, 64, 1500) else { return };
    let data = volume.path().join("data");
    let filler = Filler::new(&volume);
    let mut store = Store::new(&data);
    fill_up(&filler);
    store.assert_pulls();
    store.assert_refuses_pushes();
    store.assert_deletes(5);
    store.assert_refuses_pushes();
    store.assert_pulls();

    // Killed and started again on the full disk.
    store.server.kill();
    store.server = Stowage::start(&data);
    store.assert_pulls();
    store.assert_deletes(5);
    store.assert_refuses_pushes();

    // Stopped; another program takes the reserve for deletions before the next start.
    store.server.stop();
    filler.fill_bytes();
    store.server = Stowage::start(&data);
    store.assert_pulls();
    store.assert_refuses_pushes();

    // Free space is all that it needs.
    filler.remove();
    eventually("pushes are taken again", || push(&store.server, b"something new").status == 201);
    push_image(&store.client(), "team/app", "again", &bytes(7000, 2 * MIB));
    store.assert_pulls();
    store.assert_deletes(2);
    store.server.stop();
    assert_whole(&data);
}

#[test]
fn at_the_last_byte_of_a_file_system_in_memory_everything_but_pushes_goes_on() {
    the_end_of_a_disk(Kind::Tmpfs, Filler::fill_bytes);
}

#[test]
fn at_the_last_byte_of_ext4_everything_but_pushes_goes_on() {
    the_end_of_a_disk(Kind::Ext4, Filler::fill_bytes);
}

#[test]
fn at_the_last_byte_and_file_of_a_file_system_in_memory_everything_but_pushes_goes_on() {
    the_end_of_a_disk(Kind::Tmpfs, Filler::fill_up);
}

#[test]
fn at_the_last_byte_and_file_of_ext4_everything_but_pushes_goes_on() {
    the_end_of_a_disk(Kind::Ext4, Filler::fill_up);
}
