//! A disk that fails on purpose and says what was asked of it, for tests of everything above it.
//!
//! Always compiled, because integration tests see the library as everybody does. A test runs an operation
//! once to count its calls, and then once for each of them with that call failing.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

/// A call of the system on behalf of the store: on the tree of blobs, or on the file of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Makes a staged file.
    CreateStaged,
    /// Opens a staged file again.
    OpenStaged,
    /// Opens a blob.
    OpenBlob,
    /// Opens a directory of blobs, to sync it.
    OpenDirectory,
    /// Asks for a file's size, times and number.
    Stat,
    /// Appends to a staged file.
    Write,
    /// Reads from a staged file.
    ReadStaged,
    /// Reads what the page cache has of a blob.
    ReadCached,
    /// Reads from a blob, which may wait for the disk.
    Read,
    /// Cuts a staged file off.
    Truncate,
    /// Makes the content of a staged file durable.
    SyncFile,
    /// Makes the names in a directory durable.
    SyncDirectory,
    /// Moves a file from one directory into another.
    Rename,
    /// Takes a file's name away.
    Unlink,
    /// Reads the names in a directory.
    List,
    /// Asks how full the file system is.
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
        )
    }
}

/// Which call fails, and how. Later calls succeed again, as those of a disk with a passing fault do, unless
/// they were set to fail too ([`Faults::stop_after`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The number of the call, counted from the one after the plan was set: 1 is the next.
    pub fail_at: u64,
    /// What happens at that call.
    pub kind: Fault,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With the system's error of this number, such as `libc::EIO` or `libc::ENOSPC`, and without any effect.
    Errno(i32),
    /// A write takes half of its bytes and fails with `ENOSPC`; a read of a staged file, or of what the page
    /// cache has, answers with half of what it was asked for; another call fails with `EIO` on the tree of
    /// blobs and with `ENOSPC` on the database.
    ShortWrite,
}

/// What a test knows of a disk, and how it lets it fail. Shared with the store that uses the disk.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    /// The calls, where they are kept.
    trace: Option<Vec<Call>>,
    plan: Option<Plan>,
    /// Every call after the one that fails does so too.
    stopped: bool,
}

impl Faults {
    /// A disk that keeps a list of all its calls. The default only counts them.
    pub fn recording() -> Self {
        let state = State { trace: Some(Vec::new()), ..State::default() };
        Self { state: Mutex::new(state) }
    }

    /// Sets the plan, or takes it away.
    pub fn set_plan(&self, plan: Option<Plan>) {
        let mut state = self.state();
        let done = state.calls;
        state.plan = plan.map(|plan| Plan { fail_at: done + plan.fail_at, ..plan });
        state.stopped = false;
    }

    /// Lets the next `n` calls succeed and every later one fail with the system's error `errno`: what is on
    /// the disk then is what a process that was killed behind its `n`-th call has left there, or, with
    /// `ENOSPC`, one whose disk stayed full. [`Faults::set_plan`] ends it.
    pub fn stop_after(&self, n: u64, errno: i32) {
        self.set_plan(Some(Plan { fail_at: n + 1, kind: Fault::Errno(errno) }));
        self.state().stopped = true;
    }

    /// Lets the `n`-th call from now fail once with the system's error `errno`.
    pub fn fail_after(&self, n: u64, errno: i32) {
        self.set_plan(Some(Plan { fail_at: n, kind: Fault::Errno(errno) }));
    }

    /// The same with [`Fault::ShortWrite`].
    pub fn tear_after(&self, n: u64) {
        self.set_plan(Some(Plan { fail_at: n, kind: Fault::ShortWrite }));
    }

    /// How many calls there were so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// All calls so far, in their order, of a disk that keeps them.
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

    /// Counts a call and says whether it is the one to fail.
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

    /// A call that succeeds as a whole or not at all.
    pub(super) fn step(&self, call: Call) -> Result<(), Errno> {
        match self.count(call) {
            None => Ok(()),
            Some(Fault::Errno(number)) => Err(Errno::from_raw_os_error(number)),
            Some(Fault::ShortWrite) if call.is_of_database() => Err(Errno::NOSPC),
            Some(Fault::ShortWrite) => Err(Errno::IO),
        }
    }

    /// A read of `len` bytes: how many of them it may ask for.
    pub(super) fn read_len(&self, call: Call, len: usize) -> Result<usize, Errno> {
        match self.count(call) {
            None => Ok(len),
            Some(Fault::Errno(number)) => Err(Errno::from_raw_os_error(number)),
            Some(Fault::ShortWrite) => Ok(len.div_ceil(2)),
        }
    }

    /// A write of `len` bytes by `write`, which is told how many of them to take.
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
