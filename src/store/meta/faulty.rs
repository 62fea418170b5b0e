//! A database file that fails on purpose: the n-th call of a plan answers with an error.
//!
//! Tests run a push once to count the calls and then again with each call failing.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use redb::BackendError;
use redb::StorageBackend;
use redb::backends::FileBackend;

/// Which call of the database file fails, and how. Shared with the test that sets it.
#[derive(Debug, Default)]
pub struct Faults {
    calls: AtomicU64,
    fail_at: AtomicU64,
    errno: AtomicI32,
    tears: AtomicBool,
}

impl Faults {
    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Lets the `n`-th call from now fail once with the system's error `errno`.
    pub fn fail_after(&self, n: u64, errno: i32) {
        self.tears.store(false, Ordering::SeqCst);
        self.errno.store(errno, Ordering::SeqCst);
        self.fail_at.store(self.calls() + n, Ordering::SeqCst);
    }

    /// The same with a full disk that takes the first half of what is to be written.
    pub fn tear_after(&self, n: u64) {
        self.fail_after(n, libc::ENOSPC);
        self.tears.store(true, Ordering::SeqCst);
    }

    fn step(&self) -> io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call == self.fail_at.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(self.errno.load(Ordering::SeqCst)));
        }
        Ok(())
    }
}

/// The file of the database behind a plan of faults.
#[derive(Debug)]
pub(super) struct FaultyBackend {
    file: FileBackend,
    faults: std::sync::Arc<Faults>,
}

impl FaultyBackend {
    pub(super) fn new(file: FileBackend, faults: std::sync::Arc<Faults>) -> Self {
        Self { file, faults }
    }
}

impl StorageBackend for FaultyBackend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.faults.step()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.step()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.step()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Err(error) = self.faults.step() else { return self.file.write(offset, data) };
        if self.faults.tears.load(Ordering::SeqCst) {
            self.file.write(offset, &data[..data.len() / 2])?;
        }
        Err(error)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
