//! File systems of a test's own, which may be full, read-only or broken without harm to anything else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

use tempfile::TempDir;

use crate::process::note;

/// A mounted file system. It goes when it is dropped; drop every server on it first.
pub(crate) struct Volume {
    mount_point: PathBuf,
    device: Option<String>,
    _directory: TempDir,
}

impl Volume {
    /// A file system in memory. None, with a word about it, where this process may not mount one.
    pub(crate) fn in_memory(mib: u64) -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory");
        let mount_point = directory.path().join("volume");
        let mounted = fs::create_dir(&mount_point).and_then(|()| {
            let size = format!("size={mib}m");
            command("mount", &["-t", "tmpfs", "-o", &size, "none", text(&mount_point)])
        });
        match mounted {
            Ok(_) => Some(Self { mount_point, device: None, _directory: directory }),
            Err(error) => left_out(&error),
        }
    }

    /// A file system with a device under it, which turns read-only when the device has an error.
    pub(crate) fn on_device(mib: u64) -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory");
        let (image, mount_point) = (directory.path().join("image"), directory.path().join("volume"));
        let mounted = fs::File::create(&image)
            .and_then(|file| file.set_len(mib << 20))
            .and_then(|()| fs::create_dir(&mount_point))
            .and_then(|()| command("mkfs.ext4", &["-q", text(&image)]))
            .and_then(|_| {
                command("mount", &["-o", "loop,errors=remount-ro", text(&image), text(&mount_point)])
            })
            .and_then(|_| command("losetup", &["-n", "-O", "NAME", "-j", text(&image)]));
        match mounted {
            Ok(output) => {
                let device = String::from_utf8_lossy(&output.stdout).trim().replace("/dev/", "");
                Some(Self { mount_point, device: Some(device), _directory: directory })
            }
            Err(error) => left_out(&error),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Allows no writing any more, or allows it again. Nobody may have a file open for writing.
    pub(crate) fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        command("mount", &["-o", &option, text(&self.mount_point)]).expect("it can be mounted again");
    }

    /// Lets the device have an error, after which the kernel refuses every write.
    pub(crate) fn break_down(&self) {
        let device = self.device.as_ref().expect("a device");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("the kernel takes it");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(&self.mount_point);
    }
}

/// A file that can only be opened for reading, whoever asks. Those who have it open already go on.
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

fn unmount(path: &Path) {
    if let Err(error) = command("umount", &["--lazy", text(path)]) {
        note(&format!("{}: {error}", path.display()));
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// Runs a program of the system; its words are the error when it fails.
pub(crate) fn command(program: &str, arguments: &[&str]) -> io::Result<Output> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// On somebody's laptop a test that needs root is left out; where everything is to be tested it fails.
pub(crate) fn left_out<T>(error: &io::Error) -> Option<T> {
    let everything = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!everything, "no file system for the test: {error}");
    note(&format!("left out, for it needs a file system of its own: {error}"));
    None
}
