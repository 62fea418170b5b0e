//! A file system in an image file, whose power can be cut.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use tempfile::TempDir;

use crate::process::directory_in_memory;
use crate::volume::{command, left_out, text};

/// A size in MiB that is enough for every test. The minimum of XFS is 300.
pub(crate) const SMALL: u64 = 320;
/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` are one number.
const SHUTDOWN: libc::Ioctl = 0x8004_587D_u32 as libc::Ioctl;
const FILLER: &str = "filler";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
}

/// What happens to the journal when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// Its entries in memory are written to the disk, without the content of files.
    Flushed = 1,
    /// Its entries in memory are lost.
    Lost = 2,
}

/// A mounted file system on a loop device. Dropping it removes both; drop every server on it first.
pub(crate) struct Image {
    file_system: FileSystem,
    directory: TempDir,
}

impl Image {
    /// A new file system; `None`, with a message, if this process may not create one.
    pub(crate) fn new(file_system: FileSystem, mib: u64) -> Option<Self> {
        let image = Self { file_system, directory: directory_in_memory() };
        let made = File::create(image.file())
            .and_then(|file| file.set_len(mib << 20))
            .and_then(|()| fs::create_dir(image.mount_point()))
            .and_then(|()| command(&format!("mkfs.{}", image.kind()), &["-q", text(&image.file())]))
            .and_then(|_| image.mount());
        match made {
            Ok(()) => Some(image),
            Err(error) => left_out(&error),
        }
    }

    fn kind(&self) -> &'static str {
        match self.file_system {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// Where a server keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    /// Where a store may be rebuilt: on the same file system as the blobs.
    pub(crate) fn rebuilt(&self) -> PathBuf {
        self.mount_point().join("rebuilt")
    }

    fn mount(&self) -> io::Result<()> {
        let (file, mount_point) = (self.file(), self.mount_point());
        command("mount", &["-t", self.kind(), "-o", "loop", text(&file), text(&mount_point)]).map(drop)
    }

    /// Ends the file system like a power cut: everything that was not synced is lost, and every later call
    /// fails.
    pub(crate) fn cut_power(&self, journal: Journal) {
        let root = File::open(self.mount_point()).expect("the file system is mounted");
        let flags = journal as u32;
        #[expect(unsafe_code, reason = "no crate offers this call")]
        // SAFETY: the call reads four bytes at the pointer, which `flags` owns and which outlives it.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const flags) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    /// Unmounts the file system and mounts it again, which replays its journal. No server may be on it.
    pub(crate) fn mount_again(&self) {
        self.unmount().expect("no process uses it any more");
        self.mount().expect("its journal can be played");
    }

    /// Unmounts it. The kernel may need a moment to release a dead process.
    fn unmount(&self) -> io::Result<()> {
        let started = Instant::now();
        loop {
            match command("umount", &[text(&self.mount_point())]) {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > Duration::from_secs(10) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Fills the disk to the last byte.
    pub(crate) fn fill(&self) {
        let file = File::create(self.filler()).expect("the filler opens");
        let space = fstatvfs(&file).expect("the file system tells");
        let (mut size, mut step) = (0, space.f_bfree * space.f_frsize);
        while step >= 4096 {
            match fallocate(&file, FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(_) => step /= 2,
            }
        }
    }

    /// Frees what [`Image::fill`] has filled.
    pub(crate) fn make_room(&self) {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("the filler stays: {error}"),
            _ => {}
        }
    }

    fn filler(&self) -> PathBuf {
        self.mount_point().join(FILLER)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let mounted = fs::read_to_string("/proc/mounts").unwrap_or_default();
        if mounted.contains(text(&self.mount_point())) && self.unmount().is_err() {
            let _ = command("umount", &["--lazy", text(&self.mount_point())]);
        }
    }
}

/// How many files a directory has.
pub(crate) fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}
