//! Whether the store can rely on a file system, by its kind.

use std::io;
use std::path::Path;

/// The suitability of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No known problem.
    Fine,
    /// It works, but the operator should know its limits.
    Warn(&'static str),
    /// Locks, renames or syncs do not work as the store needs; refused unless forced.
    Refuse(&'static str),
}

/// Free bytes for this process on the file system of `path`.
pub fn available(path: &Path) -> io::Result<u64> {
    total_and_available(path).map(|(_, available)| available)
}

/// The size of the file system of `path`, and free bytes for this process.
pub fn total_and_available(path: &Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(path)?;
    let of = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok((of(found.f_blocks), of(found.f_bavail)))
}

/// Judges the file system of `path`.
pub fn check(path: &Path) -> io::Result<Verdict> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "magic numbers have 32 bits, whatever the width and sign of the field"
    )]
    let magic = rustix::fs::statfs(path)?.f_type as u32;
    Ok(judge(magic))
}

/// The magic numbers are in `linux/magic.h` and in the sources of the file systems.
fn judge(magic: u32) -> Verdict {
    match magic {
        // Other machines may see locks and renames in another order, and a sync may end in a cache.
        0x6969 => Verdict::Refuse("NFS"),
        0x517b | 0xfe53_4d42 => Verdict::Refuse("SMB"),
        0xff53_4d42 => Verdict::Refuse("CIFS"),
        0x0102_1997 => Verdict::Refuse("9p"),
        // A user-space program implements it, and its behaviour is unknown.
        0x6573_5546 => Verdict::Refuse("FUSE"),
        // It has no journal and no permissions, and a power cut can break a rename.
        0x4d44 => Verdict::Refuse("FAT"),
        0x2011_bab0 => Verdict::Refuse("exFAT"),
        0x794c_7630 => Verdict::Warn("overlay"),
        0x0102_1994 => Verdict::Warn("tmpfs"),
        0x8584_58f6 => Verdict::Warn("ramfs"),
        _ => Verdict::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_fine() {
        assert_eq!(judge(0x6969), Verdict::Refuse("NFS"));
        assert_eq!(judge(0xff53_4d42), Verdict::Refuse("CIFS"));
        assert_eq!(judge(0xfe53_4d42), Verdict::Refuse("SMB"));
        assert_eq!(judge(0x6573_5546), Verdict::Refuse("FUSE"));
        assert_eq!(judge(0x794c_7630), Verdict::Warn("overlay"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(judge(local), Verdict::Fine, "{local:x}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert_eq!(check(Path::new("/nonexistent/directory")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(check(Path::new("/proc")).is_ok());
    }
}
