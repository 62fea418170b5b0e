//! The file of rows of a dump: a magic word, frames with their lengths, and a checksum of everything.
//!
//! The last 36 bytes are the BLAKE3 hash of everything before them and the length of the last frame, so that
//! the totals can be read without the rest.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::{DumpError, at, reading};
use super::{Frame, Totals, directory};
use crate::config::open_own;

const MAGIC: &[u8; 8] = b"STWDUMP\n";
const BUFFER: usize = 1 << 18;
const TRAILER: u64 = 36;
/// No row is longer than this.
const LONGEST: u32 = 64 << 20;

/// Writes a file of rows.
pub(super) struct FrameWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    last: u32,
    pub(super) bytes: u64,
}

impl FrameWriter {
    pub(super) fn create(path: &Path) -> Result<Self, DumpError> {
        let file = directory::options().create_new(true).open(path).map_err(at(path))?;
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file),
            hasher: blake3::Hasher::new(),
            last: 0,
            bytes: 0,
        };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DumpError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(at(&self.path))
    }

    pub(super) fn frame(&mut self, frame: &Frame<'_>) -> Result<(), DumpError> {
        let frame = postcard::to_stdvec(frame).map_err(io::Error::other).map_err(at(&self.path))?;
        self.last = u32::try_from(frame.len()).map_err(io::Error::other).map_err(at(&self.path))?;
        self.put(&self.last.to_le_bytes())?;
        self.put(&frame)
    }

    /// Writes the checksum and makes the file durable.
    pub(super) fn finish(mut self) -> Result<u64, DumpError> {
        let hash = self.hasher.finalize();
        let end = [&hash.as_bytes()[..], &self.last.to_le_bytes()].concat();
        self.file.write_all(&end).map_err(at(&self.path))?;
        let file = self.file.into_inner().map_err(|error| at(&self.path)(error.into_error()))?;
        file.sync_all().map_err(at(&self.path))?;
        Ok(self.bytes + TRAILER)
    }
}

/// Reads a file of rows from its beginning. Its content is verified only when the end was reached.
pub(super) struct FrameReader {
    path: PathBuf,
    file: BufReader<File>,
    hasher: blake3::Hasher,
    frame: Vec<u8>,
}

impl FrameReader {
    pub(super) fn open(path: &Path) -> Result<Self, DumpError> {
        let file = open_own(path, OpenOptions::new().read(true)).map_err(reading(path))?;
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(BUFFER, file),
            hasher: blake3::Hasher::new(),
            frame: Vec::new(),
        };
        reader.take(MAGIC.len())?;
        if reader.frame != MAGIC {
            return Err(DumpError::damaged(path, "it does not start like a dump"));
        }
        Ok(reader)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn take(&mut self, length: usize) -> Result<(), DumpError> {
        self.frame.resize(length, 0);
        self.file.read_exact(&mut self.frame).map_err(reading(&self.path))?;
        self.hasher.update(&self.frame);
        Ok(())
    }

    /// The next frame. The last one is returned only if the checksum is correct.
    pub(super) fn next(&mut self) -> Result<Frame<'_>, DumpError> {
        self.take(4)?;
        let length = length_of(&self.frame);
        if length > LONGEST {
            return Err(DumpError::damaged(&self.path, "a row is longer than any can be"));
        }
        self.take(length as usize)?;
        let strange = || DumpError::damaged(&self.path, "bytes that are no row");
        let frame: Frame<'_> = postcard::from_bytes(&self.frame).map_err(|_| strange())?;
        if matches!(frame, Frame::End(_)) {
            let mut end = Vec::new();
            self.file.read_to_end(&mut end).map_err(reading(&self.path))?;
            let expected = [&self.hasher.finalize().as_bytes()[..], &length.to_le_bytes()].concat();
            if end != expected {
                return Err(DumpError::damaged(&self.path, "its checksum does not fit"));
            }
        }
        Ok(frame)
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(u32::MAX, u32::from_le_bytes)
}

/// The totals at the end of a file, without verifying the checksum.
pub(super) fn totals(path: &Path) -> Result<Totals, DumpError> {
    let file = open_own(path, OpenOptions::new().read(true)).map_err(reading(path))?;
    let strange = || DumpError::damaged(path, "it does not end like a dump");
    let size = file.metadata().map_err(at(path))?.len();
    let mut trailer = [0; 4];
    file.read_exact_at(&mut trailer, size.checked_sub(4).ok_or_else(strange)?).map_err(reading(path))?;
    let length = u32::from_le_bytes(trailer);
    let start = size.checked_sub(TRAILER + u64::from(length)).ok_or_else(strange)?;
    let mut frame = vec![0; length as usize];
    file.read_exact_at(&mut frame, start).map_err(reading(path))?;
    match postcard::from_bytes(&frame) {
        Ok(Frame::End(totals)) => Ok(totals),
        _ => Err(strange()),
    }
}
