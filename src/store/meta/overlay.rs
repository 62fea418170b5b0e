//! The database file of a disk that takes no writes.
//!
//! redb writes when it opens a file that was not closed properly: a flag in the header, perhaps a repair.
//! Here these writes stay in memory, so that everything can still be read.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const BLOCK: usize = 4096;

/// A file that is only read, and the blocks written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// Whole blocks, by their number.
    written: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { len, written: BTreeMap::new() }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the file; beyond its end, zeros.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            match self.file.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => {
                    out[done..].fill(0);
                    break;
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Splits a range at block boundaries: for each block its number, the range within the block, and the range
/// within the request.
fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let position = offset + done as u64;
        let start = usize::try_from(position % BLOCK as u64).unwrap_or(0);
        let part = (BLOCK - start).min(len - done);
        let range = done..done + part;
        done += part;
        (part > 0).then_some((position / BLOCK as u64, start, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out)?;
        for (number, start, range) in blocks(offset, out.len()) {
            if let Some(block) = state.written.get(&number) {
                let part = start..start + range.len();
                out[range].copy_from_slice(&block[part]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (number, start, range) in blocks(offset, data.len()) {
            if let Entry::Vacant(place) = state.written.entry(number) {
                let mut block = vec![0; BLOCK];
                self.read_file(number * BLOCK as u64, &mut block)?;
                place.insert(block.into_boxed_slice());
            }
            if let Some(block) = state.written.get_mut(&number) {
                block[start..start + range.len()].copy_from_slice(&data[range]);
            }
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_the_file_stays(
            content in prop::collection::vec(any::<u8>(), 0..20_000),
            writes in prop::collection::vec((0_usize..25_000, prop::collection::vec(any::<u8>(), 0..9_000)), 0..8),
            read_at in 0_usize..20_000,
            read_len in 0_usize..20_000,
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &content).unwrap();
            let overlay = Overlay::new(File::open(file.path()).unwrap()).unwrap();
            let mut expected = content.clone();
            for (offset, data) in &writes {
                expected.resize(expected.len().max(offset + data.len()), 0);
                expected[*offset..offset + data.len()].copy_from_slice(data);
                overlay.write(*offset as u64, data).unwrap();
            }
            prop_assert_eq!(overlay.len().unwrap(), expected.len() as u64);
            let mut read = vec![1; read_len];
            let result = overlay.read(read_at as u64, &mut read);
            if let Some(expected) = expected.get(read_at..read_at + read_len) {
                prop_assert_eq!(&read, expected);
            } else {
                prop_assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            }
            prop_assert_eq!(std::fs::read(file.path()).unwrap(), content);
        }
    }
}
