//! The system calls of a blob tree. Tests can record each of them and make it fail.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, pwritev};

use crate::store::faulty::{Call, Faults};

/// The disk of a blob tree, shared by everything that is open in the tree.
#[derive(Debug)]
pub(super) struct Disk {
    /// Cleared when the file system turns out not to support reads of the page cache only.
    cached_reads: AtomicBool,
    /// The faults that a test injects.
    faults: Option<Arc<Faults>>,
}

impl Disk {
    pub(super) fn new(faults: Option<Arc<Faults>>) -> Arc<Self> {
        Arc::new(Self { cached_reads: AtomicBool::new(true), faults })
    }

    /// Whether it supports reads of the page cache only.
    pub(super) fn has_cached_reads(&self) -> bool {
        self.cached_reads.load(Ordering::Relaxed)
    }

    /// Records that it does not.
    pub(super) fn give_up_cached_reads(&self) {
        self.cached_reads.store(false, Ordering::Relaxed);
    }

    /// Makes a system call.
    pub(super) fn call<T, E: From<Errno>>(
        &self,
        call: Call,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(faults) = &self.faults {
            faults.step(call)?;
        }
        make()
    }

    /// How many bytes a read of `len` may ask for: fewer if a test injects a short read.
    pub(super) fn read_len(&self, call: Call, len: usize) -> Result<usize, Errno> {
        match &self.faults {
            None => Ok(len),
            Some(faults) => faults.read_len(call, len),
        }
    }

    /// Writes slices at an offset; returns how many bytes the system wrote.
    pub(super) fn write(&self, file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let Some(faults) = &self.faults else { return Ok(pwritev(file, slices, offset)?) };
        let whole: Vec<u8> = slices.iter().flat_map(|slice| slice.iter()).copied().collect();
        faults
            .write(Call::Write, whole.len(), |len| Ok(pwritev(file, &[IoSlice::new(&whole[..len])], offset)?))
    }
}
