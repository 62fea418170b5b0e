//! The layout of a blob tree, and the creation of its directories.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::Barrier;
use crate::config::has_own_directory;
use crate::model::digest::{Algorithm, Digest};
use crate::store::durable::{parent, sync_dir};

pub(super) const BLOBS: &str = "blobs";
pub(super) const UPLOADS: &str = "uploads";
pub(super) const QUARANTINE: &str = "quarantine";

/// Why a directory cannot serve as the root of a blob tree.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// There is no tree, perhaps because a disk is not mounted. Nothing was created.
    #[error("{} holds no blobs: is its disk mounted?", .0.display())]
    Missing(PathBuf),
    /// A rename to or from this directory would not work.
    #[error("{} is on a different file system than the blobs", .0.display())]
    OtherFileSystem(PathBuf),
    /// A directory could not be created, read or synced.
    #[error("cannot prepare {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl From<LayoutError> for io::Error {
    fn from(error: LayoutError) -> Self {
        let kind = match &error {
            LayoutError::Missing(_) => io::ErrorKind::NotFound,
            LayoutError::OtherFileSystem(_) => io::ErrorKind::CrossesDevices,
            LayoutError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// One of the directories among which the blobs of one algorithm are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shard {
    /// The algorithm of the digests.
    pub(super) algorithm: Algorithm,
    /// The first byte of the digests.
    pub(super) index: u8,
}

impl Shard {
    /// The shard of a digest's blob.
    pub(super) fn of(digest: &Digest) -> Self {
        Self { algorithm: digest.algorithm(), index: digest.bytes()[0] }
    }

    /// The barrier that syncs its directory entries.
    pub(super) fn barrier(self) -> Barrier {
        Barrier::new(u64::from(u16::from_be_bytes([self.algorithm.byte(), self.index])))
    }

    /// The shard that a barrier belongs to.
    pub(super) fn behind(barrier: Barrier) -> io::Result<Self> {
        let bytes = u16::try_from(barrier.number()).map(u16::to_be_bytes);
        let shard = bytes.ok().and_then(|[algorithm, index]| {
            Algorithm::from_byte(algorithm).map(|algorithm| Self { algorithm, index })
        });
        shard.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the barrier of another store"))
    }
}

/// Opens a directory below `root`.
pub(super) fn open_directory(root: &Path, name: &str) -> Result<OwnedFd, LayoutError> {
    let path = root.join(name);
    File::open(&path).map(OwnedFd::from).map_err(at(&path))
}

/// An error of the system with the path of the file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
struct AtPath {
    path: PathBuf,
    source: io::Error,
}

/// An error with the path of the file. It keeps its kind and its number, because callers act on them.
pub(super) fn at_path(root: &Path, part: &str, name: &str, error: Errno) -> io::Error {
    let source = io::Error::from(error);
    io::Error::new(source.kind(), AtPath { path: root.join(part).join(name), source })
}

/// The path of a shard directory below `blobs`.
pub(super) fn shard_path(shard: Shard) -> String {
    format!("{}/{:02x}", shard.algorithm.as_str(), shard.index)
}

/// The path of a blob below `blobs`. It is derived from a digest only, so it cannot leave the directory.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("{}/{:02x}/{}", digest.algorithm().as_str(), digest.bytes()[0], digest.hex())
}

/// The name in quarantine of the `n`-th file that was this digest's blob.
pub(super) fn quarantine_name(digest: &Digest, n: u32) -> String {
    let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
    if n == 0 { name } else { format!("{name}.{n}") }
}

/// The digest and the number of a file in quarantine with this name.
pub(super) fn in_quarantine(whole: &str) -> Option<(Digest, u32)> {
    let (name, number) = match whole.split_once('.') {
        None => (whole, 0),
        Some((name, number)) => (name, number.parse().ok()?),
    };
    let (algorithm, hex) = name.split_once('-')?;
    let digest = format!("{algorithm}:{hex}").parse().ok()?;
    // A number has one form.
    (quarantine_name(&digest, number) == whole).then_some((digest, number))
}

/// Creates `root` and the tree in it, as far as they do not exist, and syncs all of it: existing directories
/// may be from a start that was interrupted before its syncs.
pub(super) fn create(root: &Path) -> Result<(), LayoutError> {
    make_root(root).map_err(at(root))?;
    make(&root.join(BLOBS)).map_err(at(&root.join(BLOBS)))?;
    repair(root)?;
    let blobs = root.join(BLOBS);
    let algorithms = Algorithm::ALL.map(|algorithm| blobs.join(algorithm.as_str()));
    algorithms
        .iter()
        .chain([&blobs])
        .map(PathBuf::as_path)
        .chain([root])
        .try_for_each(|dir| sync_dir(dir).map_err(at(dir)))
}

/// Creates missing directories below `root`, and checks that files can be renamed between all of them.
///
/// It changes nothing if nothing is missing, so that a read-only file system can be opened.
pub(super) fn repair(root: &Path) -> Result<(), LayoutError> {
    let blobs = root.join(BLOBS);
    if !has_own_directory(&blobs).map_err(at(&blobs))? {
        return Err(LayoutError::Missing(root.to_owned()));
    }
    let device = fs::metadata(&blobs).map_err(at(&blobs))?.dev();
    make_all(root, [UPLOADS, QUARANTINE].map(str::to_owned), device)?;
    make_all(&blobs, Algorithm::ALL.map(|algorithm| algorithm.as_str().to_owned()), device)?;
    for algorithm in Algorithm::ALL {
        make_all(&blobs.join(algorithm.as_str()), (0..=u8::MAX).map(|index| format!("{index:02x}")), device)?;
    }
    Ok(())
}

/// Creates directories in one parent and syncs the parent once.
fn make_all(parent: &Path, names: impl IntoIterator<Item = String>, device: u64) -> Result<(), LayoutError> {
    let mut made = false;
    for name in names {
        let path = parent.join(name);
        if fs::metadata(&path).is_ok_and(|found| found.dev() != device) {
            return Err(LayoutError::OtherFileSystem(path));
        }
        made |= make(&path).map_err(at(&path))?;
    }
    if made { sync_dir(parent).map_err(at(parent)) } else { Ok(()) }
}

fn make_root(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let parent = parent(root);
    make_root(parent)?;
    DirBuilder::new().mode(0o750).create(root)?;
    sync_dir(parent)
}

/// Creates a directory; false if it exists.
fn make(path: &Path) -> io::Result<bool> {
    if has_own_directory(path)? {
        return Ok(false);
    }
    DirBuilder::new().mode(0o750).create(path)?;
    Ok(true)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    move |source| LayoutError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Component;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::model::names::UploadId;

    const DIGESTS: &str = "(sha256|blake3):[0-9a-f]{64}|sha512:[0-9a-f]{128}";

    proptest! {
        #[test]
        fn every_digest_has_a_path_of_exactly_one_shape(text in DIGESTS, n in any::<u32>()) {
            let digest: Digest = text.parse().unwrap();
            let (algorithm, hex) = text.split_once(':').unwrap();
            let path = blob_path(&digest);
            prop_assert_eq!(&path, &format!("{algorithm}/{}/{hex}", &hex[..2]));
            prop_assert!(Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))));
            let shard = Shard::of(&digest);
            prop_assert_eq!(path.rsplit_once('/').unwrap().0, shard_path(shard));
            prop_assert_eq!(Shard::behind(shard.barrier()).unwrap(), shard);
            let name = quarantine_name(&digest, n);
            let stem = format!("{algorithm}-{hex}");
            prop_assert!(name.starts_with(&stem));
            prop_assert_eq!(in_quarantine(&name), Some((digest, n)));
            prop_assert!(name.len() < 255 && Path::new(&name).components().count() == 1);
        }

        #[test]
        fn what_is_almost_an_id_leads_nowhere_else(
            text in r"(sha256:)?([0-9a-fA-F./%\\\x00-]{30,40}|[0-9a-fA-F]{64}|[0-9a-f./]{64})",
        ) {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text.clone());
                prop_assert_eq!(Path::new(&blob_path(&digest)).components().count(), 3);
            }
            if let Ok(id) = text.parse::<UploadId>() {
                prop_assert!(id.to_string().bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
            }
        }
    }

    #[test]
    fn a_barrier_of_another_store_is_refused() {
        for number in [0, 0xff, 0x0400, 0x1_0100, u64::MAX] {
            assert!(Shard::behind(Barrier::new(number)).is_err(), "{number:x}");
        }
    }

    #[test]
    fn ids_that_climb_do_not_parse() {
        let zeros = "0".repeat(61);
        for text in [
            "..",
            ".",
            "/",
            "",
            "%2e%2e%2f",
            "..%2f",
            "\0",
            "//",
            "\u{2025}",
            "\u{ff0e}\u{ff0e}/",
            "../../etc/passwd",
            &format!("../{zeros}"),
            &format!("a/{zeros}b"),
            &format!("{zeros}\0ab"),
            &zeros.repeat(5),
        ] {
            assert!(format!("sha256:{text}").parse::<Digest>().is_err(), "{text:?}");
            assert!(text.parse::<UploadId>().is_err(), "{text:?}");
        }
        assert!(format!("../sha256:{zeros}000").parse::<Digest>().is_err());
    }

    fn new_tree() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        dir
    }

    #[test]
    fn a_tree_may_be_created_twice_and_in_a_directory_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        create(&root).unwrap();
        create(&root).unwrap();
        for path in ["blobs", "blobs/sha512", "blobs/sha256/00", "blobs/blake3/ff", "uploads", "quarantine"] {
            let mode = fs::metadata(root.join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o027, 0, "{path} is at most 0750");
        }
        assert_eq!(fs::read_dir(root.join("blobs/blake3")).unwrap().count(), 256);
    }

    #[test]
    fn missing_directories_are_made_again_and_nothing_else_changes() {
        let dir = new_tree();
        let blob = dir.path().join("blobs/sha256/00/blob");
        fs::write(&blob, b"kept").unwrap();
        for part in ["blobs/sha256/ab", "blobs/blake3", "uploads", "quarantine"] {
            fs::remove_dir_all(dir.path().join(part)).unwrap();
        }
        repair(dir.path()).unwrap();
        for part in ["blobs/sha256/ab", "blobs/blake3/00", "uploads", "quarantine"] {
            assert!(dir.path().join(part).is_dir());
        }
        assert_eq!(fs::read(blob).unwrap(), b"kept");
    }

    #[test]
    fn a_directory_without_a_tree_is_left_alone() {
        let unmounted = tempfile::tempdir().unwrap();
        assert!(matches!(repair(unmounted.path()), Err(LayoutError::Missing(_))));
        assert_eq!(fs::read_dir(unmounted.path()).unwrap().count(), 0);
    }

    #[test]
    fn directories_that_are_symbolic_links_are_refused_and_their_targets_left_alone() {
        for part in ["blobs", "uploads", "quarantine", "blobs/sha256", "blobs/sha256/7f"] {
            let (dir, target) = (new_tree(), tempfile::tempdir().unwrap());
            let path = dir.path().join(part);
            fs::remove_dir_all(&path).unwrap();
            symlink(target.path(), &path).unwrap();
            for refused in [repair(dir.path()), create(dir.path())] {
                match refused {
                    Err(LayoutError::Io { path: refused, source }) => {
                        assert_eq!(refused, path);
                        assert!(source.to_string().contains("symbolic link"), "{source}");
                    }
                    other => panic!("{part}: {other:?}"),
                }
            }
            assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "{part}");
        }
    }

    #[test]
    fn directories_on_another_file_system_are_refused() {
        for part in ["uploads", "quarantine", "blobs/sha256", "blobs/sha256/7f"] {
            let dir = new_tree();
            let path = dir.path().join(part);
            fs::remove_dir_all(&path).unwrap();
            // procfs exists on every machine, and is another device than that of temporary files.
            symlink("/proc", &path).unwrap();
            match repair(dir.path()) {
                Err(LayoutError::OtherFileSystem(refused)) => assert_eq!(refused, path),
                other => panic!("{part}: {other:?}"),
            }
        }
    }
}
