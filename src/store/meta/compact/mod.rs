//! Compaction: gives the space of deleted rows back to the disk.
//!
//! redb reuses the pages of deleted rows, but makes its file smaller only when the pages at its end are free.
//! Its own `compact` needs the database for itself until it is done. So the rows are copied to a new file,
//! while readers and the writer go on: the rows that change meanwhile are noted, and copied again. At last
//! the writer copies the few that are left between two commits, and renames the new file over the old one.

mod changed;
mod copy;

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use redb::Database;

pub(super) use self::changed::Changed;

use self::changed::Recording;
use self::copy::Copy;
use super::error::{StoreError, guarded};
use super::job::Message;
use super::tx::ReadTx;
use super::writer::Writer;
use super::{Meta, handle, schema};
use crate::config::MinFree;
use crate::model::units::human_size;
use crate::store::filesystem;

/// How often changed rows are copied again at most before the writer is asked to wait.
const ROUNDS: u32 = 50;
/// So few changed rows, with so few bytes, are copied while the writer waits.
const FEW: usize = 500;
const FEW_BYTES: u64 = 4 << 20;
/// The most rows and bytes that are copied while the writer waits.
const MOST: usize = 10_000;
const MOST_BYTES: u64 = 32 << 20;
/// Bytes that must be free besides those of the new file.
const SPARE: u64 = 16 << 20;

/// Takes the rows copied, the rows in all, and the bytes copied; a break ends the compaction.
pub(super) type OnProgress<'p> = dyn FnMut(u64, u64, u64) -> ControlFlow<()> + 'p;
/// The same inside of a compaction; an error ends it.
type Checked<'p> = dyn FnMut(u64, u64, u64) -> Result<(), CompactError> + 'p;

/// While it lives, no other compaction of the database begins: each would end the recording of the other.
struct Only<'m>(&'m AtomicBool);

impl<'m> Only<'m> {
    fn enter(compacting: &'m AtomicBool) -> Result<Self, CompactError> {
        if compacting.swap(true, Ordering::AcqRel) { Err(CompactError::Runs) } else { Ok(Self(compacting)) }
    }
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A compaction that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file on the disk before.
    pub before_bytes: u64,
    /// Bytes of the file on the disk now.
    pub after_bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// How long changes had to wait at its end. Reads did not.
    pub paused: Duration,
}

/// Why the database was not compacted. The file is the one that it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompactError {
    /// The database cannot be read, or takes no changes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new file could not be written.
    #[error("the new database file could not be written: {0}")]
    Copy(StoreError),
    /// The disk has too little space for the new file.
    #[error(
        "the new database file and storage.min_free need {} in {}, and {} are free; free some space and try again",
        human_size(*needed), dir.display(), human_size(*available)
    )]
    NoRoom {
        /// The data directory.
        dir: PathBuf,
        /// Bytes that it needs, with those that must stay free.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// More rows changed than could be copied again.
    #[error("too much changed while the database was copied; try again when fewer clients push and delete")]
    Busy,
    /// Another compaction works.
    #[error("the database is being compacted already")]
    Runs,
    /// The database is somewhere else.
    #[error("{} is a symbolic link, and a new file would take its place: put the file itself there", path.display())]
    Link {
        /// The path of the database.
        path: PathBuf,
    },
    /// The database has a table that this version does not copy.
    #[error("the database has a table `{0}`, which this version does not know")]
    Foreign(String),
    /// The new file does not have the rows of the old one.
    #[error(
        "the new database file has other rows than the old one in the table `{0}`; stop the server and run: stowage fsck"
    )]
    Differs(&'static str),
    /// It was asked to end.
    #[error("the compaction was ended")]
    Ended,
}

impl Meta {
    /// Fails if a compaction would be refused now. `min_free` is what must stay free beside the new file:
    /// otherwise pushes would be refused, and the trash emptied, while there are two files.
    pub fn may_compact(&self, min_free: MinFree) -> Result<(), CompactError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal.into());
        }
        let path = self.handle.place().path();
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
            return Err(CompactError::Link { path: path.to_owned() });
        }
        self.check_room(min_free, self.database_size()?.needed_bytes / 4 * 5)?;
        let names = self.read_blocking(ReadTx::tables)?;
        names.into_iter().find(|name| !is_known(name)).map_or(Ok(()), |name| Err(CompactError::Foreign(name)))
    }

    /// Fails if so many more bytes would leave less than `min_free`, or the reserve for deletions is in use.
    fn check_room(&self, min_free: MinFree, more: u64) -> Result<(), CompactError> {
        let dir = self.handle.data_dir();
        let (total, available) =
            filesystem::total_and_available(dir).map_err(|error| StoreError::from_io(&error))?;
        let needed = min_free.of(total).saturating_add(SPARE).saturating_add(more);
        if available < needed || self.reserve_is_lacking() {
            return Err(CompactError::NoRoom { dir: dir.to_owned(), needed, available });
        }
        Ok(())
    }

    /// Moves all rows to a new file without the free space of the old one. It blocks the calling thread;
    /// reads and changes go on meanwhile. After an error the file is the one that it was.
    pub fn compact(
        &self,
        min_free: MinFree,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Compacted, CompactError> {
        let _only = Only::enter(&self.compacting)?;
        self.may_compact(min_free)?;
        let on_progress = &mut |done, total, bytes| {
            self.check_room(min_free, 0)?;
            if on_progress(done, total, bytes).is_break() { Err(CompactError::Ended) } else { Ok(()) }
        };
        let before_bytes = self.handle.file_bytes();
        let recording = Recording::begin(self)?;
        let mut copy = Copy::create(self.handle.opener())?;
        copy.fill(self, on_progress)?;
        copy.verify()?;
        for round in 1.. {
            let rows = recording.take()?.into_rows().ok_or(CompactError::Busy)?;
            let before = copy.bytes;
            copy.catch_up(self, &rows, on_progress)?;
            on_progress(copy.rows, copy.rows, copy.bytes)?;
            if rows.len() <= FEW && copy.bytes - before <= FEW_BYTES || round == ROUNDS {
                break;
            }
        }
        let rows = copy.rows;
        let (copy, switched) = self.on_writer(move |writer| {
            let mut copy = copy;
            let switched = switch(writer, &mut copy);
            (copy, switched)
        })?;
        // Removes the file if it is not in place; not on the thread of the writer, for which changes wait.
        drop(copy);
        let (old, paused) = switched?;
        drop(recording);
        if let Some(old) = old {
            // The space of the old file is free when its last reader has ended.
            handle::close(old);
        }
        Ok(Compacted { before_bytes, after_bytes: self.handle.file_bytes(), rows, paused })
    }

    /// Runs `call` on the thread of the writer, between two commits.
    fn on_writer<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = mpsc::channel();
        let call = move |writer: &mut Writer| {
            // The caller waits for it.
            let _ = reply.send(guarded(|| call(writer)));
        };
        self.queue.send(Message::Call(Box::new(call))).map_err(|_| StoreError::Unavailable)?;
        answer.recv().unwrap_or(Err(StoreError::Unavailable))
    }
}

fn is_known(name: &str) -> bool {
    macro_rules! known {
        ($($table:ident)*) => { [$( schema::$table.name() ),*] };
    }
    schema::every_table!(known).contains(&name)
}

/// Copies what has changed at last, and puts the new file in its place. Changes wait meanwhile. Returns the
/// old database and how long that took.
fn switch(writer: &mut Writer, copy: &mut Copy) -> Result<(Option<Arc<Database>>, Duration), CompactError> {
    let started = Instant::now();
    if let Some(refusal) = writer.refusal() {
        return Err(refusal.into());
    }
    let changed = writer.changed.take().ok_or(CompactError::Busy)?.into_inner();
    let rows = changed.into_rows().filter(|rows| rows.len() <= MOST).ok_or(CompactError::Busy)?;
    copy.most_bytes = copy.bytes + MOST_BYTES;
    {
        let database = writer.handle.database()?;
        let tx = ReadTx::begin(&*database)?;
        copy.follow(&tx, &rows)?;
        copy.complete(&tx)?;
    }
    // Not over a file that was put in the place of the database meanwhile.
    if !writer.handle.place().look() {
        return Err(StoreError::Displaced.into());
    }
    let (database, held) = copy.put_in_place(writer.handle.faults())?;
    let old = writer.handle.compacted(database, held);
    // No change is acknowledged before the directory is durable: otherwise a power cut could bring the old
    // file back, without that change.
    if let Err(error) = writer.handle.settle() {
        tracing::error!(%error, "changes are refused until the directory of the database can be synced");
    }
    writer.compacted();
    Ok((old, started.elapsed()))
}
