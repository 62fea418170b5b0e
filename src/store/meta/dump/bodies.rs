//! Segments of dumps: bodies of manifests, each with its digest and a checksum, one after the other.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::{DumpError, at, reading};
use super::{BodyPosition, directory};
use crate::config::open_own;

const BUFFER: usize = 1 << 18;
/// A segment of this size is not appended to any more.
pub(super) const FULL: u64 = 64 << 20;
/// The bytes of a record before its key: the length of the body and the length of the key.
const HEAD: usize = 5;
const CHECKSUM: usize = 32;
/// No body is longer than this.
const LONGEST: u32 = 64 << 20;

/// Appends to one segment. When it is dropped before [`Appender::keep`], the appended bytes are removed.
pub(super) struct Appender {
    path: PathBuf,
    file: BufWriter<File>,
    pub(super) number: u64,
    start: u64,
    pub(super) end: u64,
    kept: bool,
}

impl Appender {
    /// Opens the segment `number` for appending, which is `length` bytes long; 0: creates it.
    pub(super) fn open(dir: &Path, number: u64, length: u64) -> Result<Self, DumpError> {
        let path = directory::segment(dir, number);
        let mut options = directory::options();
        let options = if length == 0 { options.create_new(true) } else { options.append(true) };
        let file = BufWriter::with_capacity(BUFFER, open_own(&path, options).map_err(at(&path))?);
        Ok(Self { path, file, number, start: length, end: length, kept: false })
    }

    pub(super) fn append(&mut self, key: &[u8], body: &[u8]) -> Result<BodyPosition, DumpError> {
        let too_long = || DumpError::damaged(&self.path, "a body is longer than any can be");
        let size = u32::try_from(body.len()).map_err(|_| too_long())?;
        let key_size = u8::try_from(key.len()).map_err(|_| too_long())?;
        let mut record = Vec::with_capacity(HEAD + key.len() + body.len() + CHECKSUM);
        record.extend(size.to_le_bytes());
        record.push(key_size);
        record.extend(key);
        record.extend(body);
        record.extend(blake3::hash(&record).as_bytes());
        self.file.write_all(&record).map_err(at(&self.path))?;
        let place = BodyPosition { segment: self.number, offset: self.end, length: record.len() as u64 };
        self.end += place.length;
        Ok(place)
    }

    /// Makes the appended bytes durable, but not the directory entry of a new file.
    pub(super) fn finish(&mut self) -> Result<(), DumpError> {
        self.file.flush().map_err(at(&self.path))?;
        self.file.get_ref().sync_all().map_err(at(&self.path))
    }

    /// Reads the appended bytes back and verifies them.
    pub(super) fn verify(&self, dir: &Path) -> Result<(), DumpError> {
        walk(dir, self.number, self.start, self.end)
    }

    /// Keeps the appended bytes: a dump refers to them.
    pub(super) const fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // If the removal fails, a later dump begins another segment and never appends to this one.
        let _ = if self.start == 0 {
            fs::remove_file(&self.path)
        } else {
            // The buffer must be empty before the truncation, or its bytes would be written after it.
            let _ = self.file.flush();
            self.file.get_ref().set_len(self.start)
        };
    }
}

/// Whether a segment still has this length.
pub(super) fn has_length(dir: &Path, number: u64, length: u64) -> bool {
    fs::metadata(directory::segment(dir, number)).is_ok_and(|found| found.len() == length)
}

/// Reads the records between two offsets and verifies their checksums.
pub(super) fn walk(dir: &Path, number: u64, from: u64, to: u64) -> Result<(), DumpError> {
    use std::io::{Seek as _, SeekFrom};
    let path = directory::segment(dir, number);
    let mut file = BufReader::with_capacity(
        BUFFER,
        open_own(&path, OpenOptions::new().read(true)).map_err(reading(&path))?,
    );
    file.seek(SeekFrom::Start(from)).map_err(at(&path))?;
    let mut offset = from;
    while offset < to {
        let mut head = [0; HEAD];
        file.read_exact(&mut head).map_err(reading(&path))?;
        let length = length_of(head).ok_or_else(|| torn(&path, offset))?;
        let mut record = head.to_vec();
        record.resize(length, 0);
        file.read_exact(&mut record[HEAD..]).map_err(reading(&path))?;
        parts(&record).ok_or_else(|| torn(&path, offset))?;
        offset += length as u64;
    }
    if offset == to { Ok(()) } else { Err(torn(&path, to)) }
}

/// Reads bodies from segments, one segment open at a time.
pub(super) struct Bodies {
    dir: PathBuf,
    open: Option<(u64, File)>,
}

impl Bodies {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: None }
    }

    /// The body at a place, which must have this key.
    pub(super) fn read(&mut self, key: &[u8], place: BodyPosition) -> Result<Vec<u8>, DumpError> {
        let path = directory::segment(&self.dir, place.segment);
        if self.open.as_ref().is_none_or(|(number, _)| *number != place.segment) {
            self.open = Some((
                place.segment,
                open_own(&path, OpenOptions::new().read(true)).map_err(reading(&path))?,
            ));
        }
        let damaged = || torn(&path, place.offset);
        let Some((_, file)) = &self.open else { return Err(damaged()) };
        let longest = u64::from(LONGEST) + u64::from(u8::MAX) + (HEAD + CHECKSUM) as u64;
        let length = usize::try_from(place.length.min(longest)).map_err(|_| damaged())?;
        let mut record = vec![0; length];
        file.read_exact_at(&mut record, place.offset).map_err(reading(&path))?;
        match parts(&record) {
            Some((found, body)) if found == key => Ok(body.to_vec()),
            _ => Err(damaged()),
        }
    }
}

fn torn(path: &Path, offset: u64) -> DumpError {
    DumpError::damaged(path, format!("the record at {offset} is not what was written"))
}

/// The length of a record, from its first bytes.
fn length_of(head: [u8; HEAD]) -> Option<usize> {
    let [a, b, c, d, key] = head;
    let body = u32::from_le_bytes([a, b, c, d]);
    (body <= LONGEST).then_some(HEAD + usize::from(key) + body as usize + CHECKSUM)
}

/// The key and the body of a whole record.
fn parts(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, checksum) = record.split_at_checked(record.len().checked_sub(CHECKSUM)?)?;
    let head = *content.first_chunk::<HEAD>()?;
    let whole = length_of(head)? == record.len() && blake3::hash(content).as_bytes() == checksum;
    whole.then(|| content[HEAD..].split_at(usize::from(head[HEAD - 1])))
}
