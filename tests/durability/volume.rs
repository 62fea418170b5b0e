//! File systems for tests, which may become full, read-only or broken without affecting anything else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{fs, io};

use tempfile::TempDir;

use crate::process::{directory_in_memory, note};

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In memory.
    Tmpfs,
    /// On a loop device.
    Ext4,
}

/// A mounted file system. Dropping it unmounts it; drop every server on it first.
pub(crate) struct Volume {
    mount_point: PathBuf,
    device: Option<String>,
    directory: TempDir,
}

impl Volume {
    /// A file system in memory; `None`, with a message, if this process may not mount one.
    pub(crate) fn in_memory(mib: u64) -> Option<Self> {
        Self::tmpfs(&format!("size={mib}m"))
    }

    /// A file system on a block device, which turns read-only when the device has an error.
    pub(crate) fn on_device(mib: u64) -> Option<Self> {
        Self::ext4(mib, &[])
    }

    /// A file system with this many inodes, and no blocks reserved for root.
    pub(crate) fn small(kind: Kind, mib: u64, inodes: u64) -> Option<Self> {
        let inodes = inodes.to_string();
        match kind {
            Kind::Tmpfs => Self::tmpfs(&format!("size={mib}m,nr_inodes={inodes}")),
            Kind::Ext4 => Self::ext4(mib, &["-b", "4096", "-m", "0", "-N", &inodes]),
        }
    }

    fn tmpfs(options: &str) -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory");
        let mount_point = directory.path().join("volume");
        let mounted = fs::create_dir(&mount_point)
            .and_then(|()| command("mount", &["-t", "tmpfs", "-o", options, "none", text(&mount_point)]));
        match mounted {
            Ok(_) => Some(Self { mount_point, device: None, directory }),
            Err(error) => left_out(&error),
        }
    }

    fn ext4(mib: u64, options: &[&str]) -> Option<Self> {
        let directory = directory_in_memory();
        let (image, mount_point) = (directory.path().join("image"), directory.path().join("volume"));
        let mounted = fs::File::create(&image)
            .and_then(|file| file.set_len(mib << 20))
            .and_then(|()| fs::create_dir(&mount_point))
            .and_then(|()| command("mkfs.ext4", &[&["-q"], options, &[text(&image)]].concat()))
            .and_then(|_| mount(&image, &mount_point));
        match mounted {
            Ok(device) => Some(Self { mount_point, device: Some(device), directory }),
            Err(error) => left_out(&error),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Remounts it read-only, or writable again. No process may have a file open for writing.
    pub(crate) fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        command("mount", &["-o", &option, text(&self.mount_point)]).expect("it can be mounted again");
    }

    /// Makes the device fail, after which the kernel refuses every write.
    pub(crate) fn break_down(&self) {
        let device = self.device.as_ref().expect("a device");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("the kernel takes it");
    }

    /// Limits the device to this many bytes a second until the value is dropped. `None`, with a message, if
    /// the kernel cannot do that.
    pub(crate) fn slow_down(&self, bytes_per_second: u64) -> Option<Brake> {
        let name = self.device.as_ref().expect("a device");
        let limited = fs::read_to_string(format!("/sys/block/{name}/dev")).and_then(|number| {
            let brake = Brake { device: number.trim().to_owned() };
            brake.set(bytes_per_second).map(|()| brake)
        });
        match limited {
            Ok(brake) => Some(brake),
            // io.max of cgroup v2 is no substitute: it does not limit the kernel thread of the journal.
            Err(error) => left_out(&io::Error::new(
                error.kind(),
                format!("a slow disk needs {THROTTLE} of cgroup v1: {error}"),
            )),
        }
    }

    /// Unmounts the file system and mounts it again, like a restart of the machine. No server may be on it.
    pub(crate) fn mount_again(&mut self) {
        let started = Instant::now();
        while let Err(error) = command("umount", &[text(&self.mount_point)]) {
            assert!(started.elapsed() < Duration::from_secs(10), "a process still uses it: {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let image = self.directory.path().join("image");
        self.device = Some(mount(&image, &self.mount_point).expect("it can be mounted again"));
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(&self.mount_point);
    }
}

/// Takes the number of a device, and the limit in bytes a second.
const THROTTLE: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";

/// A limit of cgroup v1 on the bytes that all processes, kernel threads included, write to a device.
pub(crate) struct Brake {
    device: String,
}

impl Brake {
    fn set(&self, bytes_per_second: u64) -> io::Result<()> {
        let rule = format!("{} {bytes_per_second}", self.device);
        fs::write(THROTTLE, rule)
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        if let Err(error) = self.set(0) {
            note(&format!("{}: {error}", self.device));
        }
    }
}

/// A file that can only be opened for reading, even by root. Processes that have it open keep it.
pub(crate) struct ReadOnlyFile(PathBuf);

impl ReadOnlyFile {
    pub(crate) fn new(path: &Path) -> Option<Self> {
        let mounted = command("mount", &["--bind", text(path), text(path)])
            .and_then(|_| command("mount", &["-o", "remount,bind,ro", text(path)]));
        match mounted {
            Ok(_) => Some(Self(path.to_owned())),
            Err(error) => left_out(&error),
        }
    }
}

impl Drop for ReadOnlyFile {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// Mounts an image; returns the name of its device.
fn mount(image: &Path, mount_point: &Path) -> io::Result<String> {
    command("mount", &["-o", "loop,errors=remount-ro", text(image), text(mount_point)])?;
    let found = command("losetup", &["-n", "-O", "NAME", "-j", text(image)])?;
    Ok(String::from_utf8_lossy(&found.stdout).trim().replace("/dev/", ""))
}

fn unmount(path: &Path) {
    if let Err(error) = command("umount", &["--lazy", text(path)]) {
        note(&format!("{}: {error}", path.display()));
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// Runs a program of the system; its stderr becomes the error if it fails.
pub(crate) fn command(program: &str, arguments: &[&str]) -> io::Result<Output> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Handles a test that needs root or a missing program: on a developer's computer it is left out; where
/// everything must be tested, it fails.
pub(crate) fn left_out<T>(error: &io::Error) -> Option<T> {
    let everything = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!everything, "the machine lacks what the test needs: {error}");
    note(&format!("left out, for the machine lacks what the test needs: {error}"));
    None
}
