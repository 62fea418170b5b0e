//! A blob store that fails on purpose, for tests of everything above it.
//!
//! Always compiled, because integration tests see the library as everybody does. A test runs an operation
//! once to count its calls, and then once for each of them with that call failing.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{BlobFile, BlobStore, Entry, Shard, Space, Staged, StagedEntry, Stamp, Syncer};
use crate::model::digest::Digest;
use crate::model::names::UploadId;

/// A call of the blob store or of a file that it handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its method")]
pub enum Call {
    Create,
    Resume,
    Discard,
    Publish,
    SyncShard,
    Open,
    Quarantine,
    Uploads,
    Walk,
    Space,
    Append,
    /// `Staged::sync`, or a syncer being run.
    Sync,
    ReadAt,
    Truncate,
    TryRead,
    Read,
}

/// Which call fails, once, and how. Later calls succeed again, as those of a disk with a passing fault do.
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
    /// An append writes half of its bytes and fails with `ENOSPC`; `try_read` and `read_at` answer with half
    /// of what they were asked for; anything else fails with `EIO`.
    ShortWrite,
}

/// Counts the calls of a blob store and lets one of them fail.
pub struct FaultyBlobs<B> {
    inner: B,
    faults: Arc<Faults>,
}

impl<B: BlobStore> FaultyBlobs<B> {
    /// A store that behaves as `inner` does until a plan is set.
    pub fn new(inner: B) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Sets the plan, or takes it away.
    pub fn set_plan(&self, plan: Option<Plan>) {
        let mut state = self.faults.state();
        let done = state.trace.len() as u64;
        state.plan = plan.map(|plan| Plan { fail_at: done + plan.fail_at, ..plan });
    }

    /// How many calls there were so far, failed ones included.
    pub fn calls(&self) -> u64 {
        self.faults.state().trace.len() as u64
    }

    /// All calls so far, in their order.
    pub fn trace(&self) -> Vec<Call> {
        self.faults.state().trace.clone()
    }

    /// Whether a call has failed since the plan was set. False without a plan.
    pub fn fired(&self) -> bool {
        let state = self.faults.state();
        state.plan.is_some_and(|plan| plan.fail_at <= state.trace.len() as u64)
    }

    /// The store behind this one.
    pub fn inner(&self) -> &B {
        &self.inner
    }
}

#[derive(Default)]
struct Faults {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trace: Vec<Call>,
    plan: Option<Plan>,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says whether it is the one to fail.
    fn count(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        state.trace.push(call);
        let number = state.trace.len() as u64;
        state.plan.filter(|plan| plan.fail_at == number).map(|plan| plan.kind)
    }

    fn step(&self, call: Call) -> io::Result<()> {
        match self.count(call) {
            None => Ok(()),
            Some(Fault::Errno(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::ShortWrite) => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }

    /// The part of `len` bytes that a read may ask for.
    fn read_len(&self, call: Call, len: usize) -> io::Result<usize> {
        match self.count(call) {
            None => Ok(len),
            Some(Fault::Errno(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::ShortWrite) => Ok(len.div_ceil(2)),
        }
    }
}

impl<B: BlobStore> BlobStore for FaultyBlobs<B> {
    fn create(&self, id: UploadId) -> io::Result<Box<dyn Staged>> {
        self.faults.step(Call::Create)?;
        let inner = self.inner.create(id)?;
        Ok(Box::new(FaultyStaged { inner, faults: Arc::clone(&self.faults) }))
    }

    fn resume(&self, id: UploadId, offset: u64) -> io::Result<Box<dyn Staged>> {
        self.faults.step(Call::Resume)?;
        let inner = self.inner.resume(id, offset)?;
        Ok(Box::new(FaultyStaged { inner, faults: Arc::clone(&self.faults) }))
    }

    fn discard(&self, id: UploadId) -> io::Result<()> {
        self.faults.step(Call::Discard)?;
        self.inner.discard(id)
    }

    fn publish(&self, id: UploadId, digest: &Digest) -> io::Result<()> {
        self.faults.step(Call::Publish)?;
        self.inner.publish(id, digest)
    }

    fn sync_shard(&self, shard: Shard) -> io::Result<()> {
        self.faults.step(Call::SyncShard)?;
        self.inner.sync_shard(shard)
    }

    fn open(&self, digest: &Digest) -> io::Result<Option<Arc<dyn BlobFile>>> {
        self.faults.step(Call::Open)?;
        let Some(inner) = self.inner.open(digest)? else { return Ok(None) };
        Ok(Some(Arc::new(FaultyFile { inner, faults: Arc::clone(&self.faults) })))
    }

    fn quarantine(&self, digest: &Digest) -> io::Result<bool> {
        self.faults.step(Call::Quarantine)?;
        self.inner.quarantine(digest)
    }

    fn uploads(&self) -> io::Result<Vec<StagedEntry>> {
        self.faults.step(Call::Uploads)?;
        self.inner.uploads()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> io::Result<()> {
        self.faults.step(Call::Walk)?;
        self.inner.walk(visit)
    }

    fn space(&self) -> io::Result<Space> {
        self.faults.step(Call::Space)?;
        self.inner.space()
    }
}

struct FaultyStaged {
    inner: Box<dyn Staged>,
    faults: Arc<Faults>,
}

impl Staged for FaultyStaged {
    fn append(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        match self.faults.count(Call::Append) {
            None => self.inner.append(chunks),
            Some(Fault::Errno(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::ShortWrite) => {
                let whole = chunks.concat();
                let half = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
                self.inner.append(&[half])?;
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
        }
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.step(Call::Sync)?;
        self.inner.sync()
    }

    fn syncer(&self) -> io::Result<Syncer> {
        let (inner, faults) = (self.inner.syncer()?, Arc::clone(&self.faults));
        Ok(Box::new(move || {
            faults.step(Call::Sync)?;
            inner()
        }))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.faults.read_len(Call::ReadAt, buf.len())?;
        self.inner.read_at(offset, &mut buf[..len])
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.faults.step(Call::Truncate)?;
        self.inner.truncate(len)
    }
}

struct FaultyFile {
    inner: Arc<dyn BlobFile>,
    faults: Arc<Faults>,
}

impl BlobFile for FaultyFile {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn stamp(&self) -> Stamp {
        self.inner.stamp()
    }

    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        let len = self.faults.read_len(Call::TryRead, len)?;
        self.inner.try_read(offset, len)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.faults.step(Call::Read)?;
        self.inner.read(offset, len)
    }
}
