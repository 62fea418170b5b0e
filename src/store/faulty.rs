//! Fault injection: a disk that fails on demand and records its calls, for tests of everything above it.
//!
//! It is always compiled, because integration tests use the library as any other crate does. A test runs an
//! operation once to count its calls, and then once for each call with that call failing.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// A system call of the store, on the blob tree or on the file of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Creates a staged file.
    CreateStaged,
    /// Opens a staged file again.
    OpenStaged,
    /// Opens a blob.
    OpenBlob,
    /// Opens a directory of blobs, to sync it.
    OpenDirectory,
    /// Reads a file's size, times and inode.
    Stat,
    /// Appends to a staged file.
    Write,
    /// Reads from a staged file.
    ReadStaged,
    /// Reads from the page cache of a blob.
    ReadCached,
    /// Reads from a blob, which may wait for the disk.
    Read,
    /// Truncates a staged file.
    Truncate,
    /// Makes the content of a staged file durable.
    SyncFile,
    /// Makes the entries of a directory durable.
    SyncDirectory,
    /// Moves a file from one directory into another.
    Rename,
    /// Unlinks a file.
    Unlink,
    /// Reads the names in a directory.
    List,
    /// Reads the free space of the file system.
    Space,
    /// Reads from the database's file.
    DatabaseRead,
    /// Writes to the database's file.
    DatabaseWrite,
    /// Changes the length of the database's file.
    DatabaseLength,
    /// Makes the database's file durable.
    DatabaseSync,
    /// Copies the database's file before a migration.
    DatabaseCopy,
    /// Puts another file in the place of the database's file.
    DatabaseRename,
    /// Makes durable which file is at the place of the database's file.
    DatabaseDirectory,
}

impl Call {
    const fn is_of_database(self) -> bool {
        matches!(
            self,
            Self::DatabaseRead
                | Self::DatabaseWrite
                | Self::DatabaseLength
                | Self::DatabaseSync
                | Self::DatabaseCopy
                | Self::DatabaseRename
                | Self::DatabaseDirectory
        )
    }
}

/// Which call fails, and how. Later calls succeed again, like those of a disk with a temporary fault, unless
/// [`Faults::stop_after`] makes them fail too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The number of the call, from the one after the plan was set: 1 is the next.
    pub fail_at: u64,
    /// The fault.
    pub kind: Fault,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With the system's error of this number, such as `libc::EIO` or `libc::ENOSPC`, and without any effect.
    Errno(i32),
    /// A write writes half of its bytes and fails with `ENOSPC`; a read of a staged file or of the page cache
    /// returns half of what was requested; any other call fails with `EIO` on the blob tree and with `ENOSPC`
    /// on the database.
    ShortWrite,
}

/// The faults and the record of a disk, shared by a test and the store.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    /// The calls, if they are recorded.
    trace: Option<Vec<Call>>,
    plan: Option<Plan>,
    /// Whether every call after the failing one fails too.
    stopped: bool,
}

impl Faults {
    /// A disk that records all its calls. The default only counts them.
    pub fn recording() -> Self {
        let state = State { trace: Some(Vec::new()), ..State::default() };
        Self { state: Mutex::new(state) }
    }

    /// Sets the plan, or removes it.
    pub fn set_plan(&self, plan: Option<Plan>) {
        let mut state = self.state();
        let done = state.calls;
        state.plan = plan.map(|plan| Plan { fail_at: done + plan.fail_at, ..plan });
        state.stopped = false;
    }

    /// Lets the next `n` calls succeed and every later one fail with the system's error `errno`. The disk
    /// then holds what a process left that was killed after its `n`-th call, or, with `ENOSPC`, one whose
    /// disk was full from then on. [`Faults::set_plan`] ends it.
    pub fn stop_after(&self, n: u64, errno: i32) {
        self.set_plan(Some(Plan { fail_at: n + 1, kind: Fault::Errno(errno) }));
        self.state().stopped = true;
    }

    /// Makes the `n`-th call from now fail once with the system's error `errno`.
    pub fn fail_after(&self, n: u64, errno: i32) {
        self.set_plan(Some(Plan { fail_at: n, kind: Fault::Errno(errno) }));
    }

    /// The same with [`Fault::ShortWrite`].
    pub fn tear_after(&self, n: u64) {
        self.set_plan(Some(Plan { fail_at: n, kind: Fault::ShortWrite }));
    }

    /// The number of calls so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// All calls so far, in order, if they are recorded.
    pub fn trace(&self) -> Vec<Call> {
        self.state().trace.clone().unwrap_or_default()
    }

    /// Whether a call has failed since the plan was set. False without a plan.
    pub fn fired(&self) -> bool {
        let state = self.state();
        state.plan.is_some_and(|plan| plan.fail_at <= state.calls)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and returns its fault, if it is the one to fail.
    pub(super) fn count(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        state.calls += 1;
        let number = state.calls;
        if let Some(trace) = &mut state.trace {
            trace.push(call);
        }
        let stopped = state.stopped;
        let fails = |plan: &Plan| plan.fail_at == number || (stopped && plan.fail_at < number);
        state.plan.filter(fails).map(|plan| plan.kind)
    }

    /// A call that succeeds or fails as a whole.
    pub(super) fn step(&self, call: Call) -> Result<(), Errno> {
        match self.count(call) {
            None => Ok(()),
            Some(Fault::Errno(number)) => Err(Errno::from_raw_os_error(number)),
            Some(Fault::ShortWrite) if call.is_of_database() => Err(Errno::NOSPC),
            Some(Fault::ShortWrite) => Err(Errno::IO),
        }
    }

    /// A read of `len` bytes: returns how many of them it may ask for.
    pub(super) fn read_len(&self, call: Call, len: usize) -> Result<usize, Errno> {
        match self.count(call) {
            None => Ok(len),
            Some(Fault::Errno(number)) => Err(Errno::from_raw_os_error(number)),
            Some(Fault::ShortWrite) => Ok(len.div_ceil(2)),
        }
    }

    /// A write of `len` bytes by `write`, which receives the number of bytes to write.
    pub(super) fn write<T>(
        &self,
        call: Call,
        len: usize,
        write: impl FnOnce(usize) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.count(call) {
            None => write(len),
            Some(Fault::Errno(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::ShortWrite) => {
                write(len / 2)?;
                Err(Errno::NOSPC.into())
            }
        }
    }
}
