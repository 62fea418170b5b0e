//! Reads a blob's file, from the page cache only or from the disk.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FileType, Stat, fadvise, fstat};
use rustix::io::{Errno, pread};

use super::disk::Disk;
use super::{BlobFile, Stamp};
use crate::store::faulty::Call;
use crate::store::sys;

/// An open file of a blob.
pub(super) struct OpenBlob {
    file: File,
    size: u64,
    stamp: Stamp,
    disk: Arc<Disk>,
}

impl OpenBlob {
    pub(super) fn new(file: File, disk: Arc<Disk>) -> io::Result<Self> {
        let found = disk.call(Call::Stat, || fstat(&file))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(not_a_file());
        }
        Ok(Self { file, size: size(&found), stamp: stamp(&found), disk })
    }

    /// How much of a request lies within the blob.
    fn within(&self, offset: u64, len: usize) -> usize {
        let left = self.size.saturating_sub(offset);
        usize::try_from(left).map_or(len, |left| left.min(len))
    }
}

impl BlobFile for OpenBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        let len = self.within(offset, len);
        if len == 0 {
            return Ok(Some(Bytes::new()));
        }
        if !self.disk.has_cached_reads() {
            return Ok(None);
        }
        let len = self.disk.read_len(Call::ReadCached, len)?;
        match sys::read_cached(&self.file, offset, len) {
            Ok(read) if read.is_empty() => Err(cut_off(offset)),
            Ok(read) => Ok(Some(read.into())),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN | Errno::INTR) => Ok(None),
                Some(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.disk.give_up_cached_reads();
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let len = self.within(offset, len);
        let mut buffer = Vec::with_capacity(len);
        while buffer.len() < len {
            let next = offset + buffer.len() as u64;
            match self.disk.call(Call::Read, || pread(&self.file, spare_capacity(&mut buffer), next)) {
                Ok(0) => return Err(cut_off(next)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The vector may have more capacity than requested, and the read fills all of it.
        buffer.truncate(len);
        Ok(buffer.into())
    }

    fn forget(&self, offset: u64, len: usize) {
        // It is advice: a file system that does not take it keeps the pages.
        let _ = fadvise(&self.file, offset, NonZeroU64::new(len as u64), Advice::DontNeed);
    }
}

/// The error for something that is not a regular file at a blob's path.
pub(super) fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what lies at a blob's path is not a file")
}

fn cut_off(offset: u64) -> io::Error {
    let message = format!("the blob's file ends at {offset}, before its end");
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// The stamp of a file: its inode, its size, and the times of its last modification and change.
pub(super) fn stamp(found: &Stat) -> Stamp {
    let written = nanoseconds(found.st_mtime, found.st_mtime_nsec);
    Stamp::new((found.st_ino, size(found), written, nanoseconds(found.st_ctime, found.st_ctime_nsec)))
}

fn size(found: &Stat) -> u64 {
    u64::try_from(found.st_size).unwrap_or_default()
}

/// Nanoseconds since 1970. The type of the fraction depends on the platform.
fn nanoseconds(seconds: i64, fraction: impl TryInto<i64>) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_cannot_tell_is_asked_once() {
        let disk = Disk::new(None);
        // Files of procfs do not support RWF_NOWAIT on any kernel.
        let file = File::open("/proc/self/maps").unwrap();
        let mut blob = OpenBlob::new(file, Arc::clone(&disk)).unwrap();
        blob.size = 16;
        assert_eq!(blob.try_read(0, 16).unwrap(), None);
        assert!(!disk.has_cached_reads());
        assert_eq!(blob.try_read(0, 16).unwrap(), None);
        assert_eq!(blob.read(0, 16).unwrap().len(), 16);
    }

    #[test]
    fn a_directory_is_not_a_blob() {
        let file = File::open("/").unwrap();
        let error = OpenBlob::new(file, Disk::new(None)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
