//! Makes dumps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use redb::Value as _;

use super::bodies::{self, Appender};
use super::error::{DumpError, at};
use super::frames::FrameWriter;
use super::read::{self, EarlierBodies};
use super::{BodyPosition, COUNTED, FORMAT, Frame, Header, LEFT_OUT, OnProgress, Segment, Totals, directory};
use crate::model::digest::Digest;
use crate::store::durable::sync_dir;
use crate::store::filesystem;
use crate::store::meta::{Key, Meta, Pages, Raw, Reader, Row, SCHEMA, StoreError, Table, Tx as _, schema};

/// Rows between two reports of the progress.
const SPEAK_EVERY: u64 = 1_000;
/// Bytes that must be free besides twice the size of the last dump.
const SPARE: u64 = 16 << 20;

/// A dump that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its file of rows.
    pub path: PathBuf,
    /// Its header.
    pub header: Header,
    /// Its totals.
    pub totals: Totals,
    /// Bytes written for it.
    pub bytes: u64,
}

impl Meta {
    /// Writes a dump of one snapshot to `dir`, reads it back, and removes all but the newest `keep` and the
    /// newest one without damage. It blocks the calling thread; changes continue meanwhile. After an error
    /// the existing dumps stay.
    pub fn dump(&self, dir: &Path, keep: usize) -> Result<Written, DumpError> {
        self.dump_with(dir, keep, &mut |_, _| ControlFlow::Continue(()))
    }

    /// [`Meta::dump`] that tells how far it is, and can be ended.
    pub fn dump_with(
        &self,
        dir: &Path,
        keep: usize,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Written, DumpError> {
        directory::prepare(dir)?;
        let earlier = self.earlier(dir)?;
        check_room(dir, earlier.as_ref())?;
        let number = directory::list(dir)?.first().map_or(1, |newest| newest.number + 1);
        let new = directory::new_rows(dir, number);
        let written = self.write_and_verify(dir, &new, number, earlier, on_progress);
        if written.is_err() {
            // If this fails, the next dump removes it.
            let _ = fs::remove_file(&new);
        }
        let written = written?;
        directory::prune(dir, keep)?;
        Ok(written)
    }

    fn write_and_verify(
        &self,
        dir: &Path,
        new: &Path,
        number: u64,
        earlier: Option<Earlier>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Written, DumpError> {
        // Before its snapshot: a dump that is younger than something has it.
        let wall_ms = self.clock().now().wall_ms;
        let (header, totals, bytes, appender) = self
            .hold(|meta| Dump::begin(dir, new, earlier, &mut *on_progress)?.write(meta, (number, wall_ms)))?;
        let rows = totals.rows + totals.bodies;
        if on_progress(rows, rows).is_break() {
            return Err(DumpError::Ended);
        }
        if appender.is_some() {
            sync_dir(dir).map_err(at(dir))?;
        }
        if read::inspect(new)? != (header.clone(), totals.clone()) {
            return Err(DumpError::damaged(new, "it is not what was written"));
        }
        if let Some(appender) = &appender {
            appender.verify(dir)?;
        }
        let path = directory::rows(dir, number);
        fs::rename(new, &path).map_err(at(&path))?;
        if let Some(mut appender) = appender {
            appender.keep();
        }
        sync_dir(dir).map_err(at(dir))?;
        Ok(Written { path, header, totals, bytes })
    }

    /// The newest complete dump of this store.
    fn earlier(&self, dir: &Path) -> Result<Option<Earlier>, DumpError> {
        for file in directory::list(dir)? {
            match read::inspect(&file.path) {
                Ok((header, totals)) if header.store_id == self.store_id() => {
                    return Ok(Some(Earlier { path: file.path, totals, number: header.number }));
                }
                Ok(_) => tracing::warn!(dump = %file.path.display(), "this dump is of another store"),
                Err(error) => tracing::warn!(%error, "a dump is damaged and is ignored"),
            }
        }
        Ok(None)
    }
}

/// The dump on which a new one builds.
struct Earlier {
    path: PathBuf,
    totals: Totals,
    number: u64,
}

impl Earlier {
    /// Segments whose bodies are written again: those with damage (each dump verifies one segment), and those
    /// of which most records are no longer needed.
    fn left_behind(&self, dir: &Path) -> BTreeSet<u64> {
        let segments = &self.totals.segments;
        let mut left: BTreeSet<u64> = segments
            .iter()
            .filter(|segment| segment.live < segment.length / 2)
            .map(|segment| segment.number)
            .collect();
        let turn = usize::try_from(self.number).unwrap_or(0).checked_rem(segments.len());
        if let Some(segment) = turn.and_then(|turn| segments.get(turn))
            && let Err(error) = bodies::walk(dir, segment.number, 0, segment.length)
        {
            tracing::warn!(%error, "manifests in it are written again");
            left.insert(segment.number);
        }
        left.extend(segments.iter().filter(|segment| !exists(dir, segment)).map(|segment| segment.number));
        left
    }
}

fn exists(dir: &Path, segment: &Segment) -> bool {
    let found = fs::metadata(directory::segment(dir, segment.number));
    found.is_ok_and(|found| found.len() >= segment.length)
}

fn check_room(dir: &Path, earlier: Option<&Earlier>) -> Result<(), DumpError> {
    let last = earlier.and_then(|earlier| fs::metadata(&earlier.path).ok()).map_or(0, |found| found.len());
    let needed = SPARE + 2 * last;
    let available = filesystem::available(dir).map_err(at(dir))?;
    if available < needed {
        return Err(DumpError::NoRoom { path: dir.to_owned(), available, needed });
    }
    Ok(())
}

/// A dump that is being written.
struct Dump<'p> {
    dir: PathBuf,
    file: FrameWriter,
    known: Option<EarlierBodies>,
    left_behind: BTreeSet<u64>,
    /// The segment that can be appended to.
    last: Option<Segment>,
    appender: Option<Appender>,
    /// The lengths of the segments of the earlier dump.
    lengths: BTreeMap<u64, u64>,
    /// The total length of the records in each segment that this dump refers to.
    live: BTreeMap<u64, u64>,
    rows: u64,
    bodies: u64,
    damaged: u64,
    appended: u64,
    /// Rows and bodies that are looked at in all.
    expected: u64,
    on_progress: &'p mut OnProgress<'p>,
}

impl<'p> Dump<'p> {
    fn begin(
        dir: &Path,
        new: &Path,
        earlier: Option<Earlier>,
        on_progress: &'p mut OnProgress<'p>,
    ) -> Result<Self, DumpError> {
        let left_behind = earlier.as_ref().map(|earlier| earlier.left_behind(dir)).unwrap_or_default();
        let segments = earlier.as_ref().map(|earlier| &earlier.totals.segments[..]).unwrap_or_default();
        let last = segments.iter().max_by_key(|segment| segment.number).copied().filter(|last| {
            let whole = bodies::has_length(dir, last.number, last.length);
            whole && last.length < bodies::FULL && !left_behind.contains(&last.number)
        });
        Ok(Self {
            dir: dir.to_owned(),
            file: FrameWriter::create(new)?,
            lengths: segments.iter().map(|segment| (segment.number, segment.length)).collect(),
            known: earlier.map(|earlier| EarlierBodies::open(&earlier.path)).transpose()?,
            left_behind,
            last,
            appender: None,
            live: BTreeMap::new(),
            rows: 0,
            bodies: 0,
            damaged: 0,
            appended: 0,
            expected: 0,
            on_progress,
        })
    }

    fn write(
        mut self,
        meta: Reader<'_>,
        (number, wall_ms): (u64, u64),
    ) -> Result<(Header, Totals, u64, Option<Appender>), DumpError> {
        let clock = meta.read(|tx| tx.get(&schema::CLOCK, ()))?;
        let header = Header {
            format: FORMAT,
            schema: SCHEMA,
            store_id: meta.meta().store_id(),
            number,
            sequence: clock.ok_or(StoreError::Corrupt { table: schema::CLOCK.name() })?.sequence.0,
            wall_ms,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.file.frame(&Frame::Header(header.clone()))?;
        macro_rules! expect {
            ($($table:ident)*) => { $( self.expect(meta, &schema::$table)?; )* };
        }
        schema::every_table!(expect);
        self.bodies(meta)?;
        macro_rules! write {
            ($($table:ident)*) => { $( self.table(meta, &schema::$table)?; )* };
        }
        schema::every_table!(write);
        if let Some(appender) = &mut self.appender {
            appender.finish()?;
        }
        let segments = self.live.iter().map(|(number, live)| {
            let appended = self.appender.as_ref().filter(|appender| appender.number == *number);
            let length = appended.map(|appender| appender.end).or(self.lengths.get(number).copied());
            Segment { number: *number, length: length.unwrap_or(*live), live: *live }
        });
        let totals = Totals {
            rows: self.rows,
            bodies: self.bodies,
            damaged: self.damaged,
            segments: segments.collect(),
        };
        self.file.frame(&Frame::End(totals.clone()))?;
        let bytes = self.file.finish()? + self.appended;
        Ok((header, totals, bytes, self.appender))
    }

    /// Writes the bodies of all manifests that a repository holds; those in an earlier dump are referred to.
    fn bodies(&mut self, meta: Reader<'_>) -> Result<(), DumpError> {
        self.file.frame(&Frame::Table(schema::MANIFEST_BODY.name()))?;
        let mut last = Vec::new();
        meta.sweep(&schema::MANIFEST_REPO.raw(), Pages::all(), |tx, (key, _), _| {
            if last == key {
                return Ok(());
            }
            last = key.to_vec();
            let known = match &mut self.known {
                Some(known) => known.find(key)?,
                None => None,
            };
            if let Some(place) = known.filter(|place| !self.left_behind.contains(&place.segment)) {
                return self.refer(key, place);
            }
            match tx.get(&schema::MANIFEST_BODY.raw_keys(), key)? {
                Some(Raw(body)) => self.body(key, &body),
                None => Ok(()),
            }
        })
    }

    /// Adds a table to what has to be done.
    fn expect<K: Key, R: Row>(&mut self, meta: Reader<'_>, table: &Table<K, R>) -> Result<(), DumpError> {
        if is_dumped(table) {
            self.expected += meta.read(|tx| tx.count(table))?;
        }
        Ok(())
    }

    /// Says now and then how far it is.
    fn tick(&mut self) -> Result<(), DumpError> {
        let done = self.rows + self.bodies;
        if done.is_multiple_of(SPEAK_EVERY) && (self.on_progress)(done, self.expected).is_break() {
            return Err(DumpError::Ended);
        }
        Ok(())
    }

    fn body(&mut self, key: &[u8], body: &[u8]) -> Result<(), DumpError> {
        let whole =
            Digest::from_key(key).is_some_and(|digest| Digest::of(digest.algorithm(), body) == digest);
        if !whole {
            // A damaged body is not put in a segment: after a push repairs it, the body of this digest
            // differs.
            self.tick()?;
            self.rows += 1;
            self.damaged += 1;
            return self.file.frame(&Frame::Row { key, value: body });
        }
        let appender = match &mut self.appender {
            Some(appender) => appender,
            none => {
                let opened = match self.last {
                    Some(last) => Appender::open(&self.dir, last.number, last.length)?,
                    None => Appender::open(&self.dir, directory::next_segment(&self.dir)?, 0)?,
                };
                none.insert(opened)
            }
        };
        let place = appender.append(key, body)?;
        self.appended += place.length;
        self.refer(key, place)
    }

    fn refer(&mut self, key: &[u8], place: BodyPosition) -> Result<(), DumpError> {
        self.tick()?;
        self.bodies += 1;
        *self.live.entry(place.segment).or_default() += place.length;
        self.file.frame(&Frame::Body { key, place })
    }

    fn table<K: Key, R: Row>(&mut self, meta: Reader<'_>, table: &Table<K, R>) -> Result<(), DumpError> {
        if !is_dumped(table) || table.name() == schema::MANIFEST_BODY.name() {
            return Ok(());
        }
        self.file.frame(&Frame::Table(table.name()))?;
        meta.sweep(&table.raw(), Pages::all(), |_, key, row| {
            let Some(Raw(value)) = row else { return Ok(()) };
            self.tick()?;
            self.rows += 1;
            self.damaged += u64::from(R::decode(&value).is_none());
            self.file.frame(&Frame::Row { key: K::Stored::as_bytes(&key).as_ref(), value: &value })
        })
    }
}

/// Whether the rows of a table are in a dump.
fn is_dumped<K: Key, R: Row>(table: &Table<K, R>) -> bool {
    !COUNTED.iter().chain(&LEFT_OUT).any(|name| *name == table.name())
}
