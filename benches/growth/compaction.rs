//! Compaction of a store of which much was deleted, while clients read and push.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stowage::store::meta::{Meta, StoreError, Tx as _, WriteTx, schema};
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::layout::{Layout, Sizes};
use crate::meanwhile::{self, Latency};
use crate::requests::SETTINGS;
use crate::seed;
use crate::server::Server;

/// Rows that are deleted in one transaction, roughly.
const AT_ONCE: u64 = 10_000;

/// A compaction that was made.
#[derive(Clone, Debug)]
pub(crate) struct Compacted {
    /// Rows that were deleted before it.
    pub(crate) deleted: u64,
    /// Bytes of the file on the disk before and after it.
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// What a file with its rows was estimated to have.
    pub(crate) estimated: u64,
    pub(crate) rows: u64,
    pub(crate) took: Duration,
    /// How long changes waited at its end.
    pub(crate) paused: Duration,
    /// The peak memory of the server meanwhile, in bytes.
    pub(crate) peak: u64,
    pub(crate) reads: Latency,
    pub(crate) pushes: Latency,
}

/// Copies the store into `dir`, deletes rows, and compacts it: after so many rows, and when nine of ten
/// repositories are empty.
pub(crate) fn measure(
    runtime: &Runtime,
    (data_dir, dir): (&Path, &Path),
    layout: &Layout,
    rows: u64,
    connections: usize,
) -> Result<[Compacted; 2], Failure> {
    copy(data_dir, dir, true)?;
    let ordinary = layout.ordinary();
    let tenth = ordinary.start + ordinary.len() / 10;
    let (left, deleted) = delete(dir, layout, tenth..ordinary.end, rows)?;
    let first = compact(runtime, dir, &shortened(layout, left), deleted, connections)?;
    let (left, deleted) = delete(dir, layout, tenth..left, u64::MAX)?;
    let second = compact(runtime, dir, &shortened(layout, left), deleted, connections)?;
    Ok([first, second])
}

/// Copies a store. Blobs, which nothing changes, become links.
pub(crate) fn copy(from: &Path, to: &Path, is_top: bool) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() && !(is_top && entry.file_name() == "dumps") {
            copy(&path, &target, false)?;
        } else if kind.is_file() && is_top {
            fs::copy(&path, &target)?;
        } else if kind.is_file() {
            fs::hard_link(&path, &target)?;
        }
    }
    Ok(())
}

/// Deletes manifests and tags of these repositories, the last one first, until so many rows are gone. Returns
/// the first repository of which something is gone, and how many rows are. Counts and links are not changed:
/// only the space matters.
fn delete(dir: &Path, layout: &Layout, range: Range<usize>, rows: u64) -> Result<(usize, u64), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let meta = seed::open_meta(dir, 256 << 20, runtime.handle(), None)?;
    let (mut deleted, mut left) = (0, range.end);
    let names: Arc<Vec<String>> =
        Arc::new(layout.repositories.iter().map(|repository| repository.name.clone()).collect());
    while left > range.start && deleted < rows {
        let (names, start, most) = (Arc::clone(&names), range.start, AT_ONCE.min(rows - deleted));
        let from = left;
        let written = runtime.block_on(meta.write(move |tx| {
            let (mut gone, mut left) = (0, from);
            while left > start && gone < most {
                left -= 1;
                gone += empty(tx, &names[left])?;
            }
            Ok((left, gone))
        }));
        let (now_left, gone) = written.map_err(|error: StoreError| Failure(error.to_string()))?;
        (left, deleted) = (now_left, deleted + gone);
    }
    Meta::close(&meta);
    Ok((left, deleted))
}

/// Deletes the manifests and tags of a repository; returns the number of rows.
fn empty(tx: &WriteTx<'_>, name: &str) -> Result<u64, StoreError> {
    let Some(id) = tx.get(&schema::REPOSITORY_NAME, name)? else { return Ok(0) };
    let (mut digests, mut tags, mut pointers, mut referrers) = (vec![], vec![], vec![], vec![]);
    tx.scan_prefix(&schema::MANIFEST.keys(), id, |digest, _| {
        digests.push(digest);
        ControlFlow::Continue(())
    })?;
    tx.scan_prefix(&schema::TAG_HISTORY.keys(), id, |(tag, sequence), _| {
        tags.push((tag.to_owned(), sequence));
        ControlFlow::Continue(())
    })?;
    tx.scan_prefix(&schema::TAG_BY_DIGEST.keys(), id, |(digest, tag), _| {
        pointers.push((digest, tag.to_owned()));
        ControlFlow::Continue(())
    })?;
    tx.scan_prefix(&schema::REFERRER.keys(), id, |(subject, digest), _| {
        referrers.push((subject, digest));
        ControlFlow::Continue(())
    })?;
    let mut rows = 0;
    for digest in &digests {
        rows += u64::from(tx.delete(&schema::MANIFEST, (id, digest))?);
        rows += u64::from(tx.delete(&schema::MANIFEST_BODY, digest)?);
        rows += u64::from(tx.delete(&schema::MANIFEST_REPO, (digest, id))?);
    }
    for (tag, sequence) in &tags {
        rows += u64::from(tx.delete(&schema::TAG, (id, tag.as_str()))?);
        rows += u64::from(tx.delete(&schema::TAG_BY_SEQUENCE, (id, *sequence))?);
        rows += u64::from(tx.delete(&schema::TAG_HISTORY, (id, tag.as_str(), *sequence))?);
    }
    for (digest, tag) in &pointers {
        rows += u64::from(tx.delete(&schema::TAG_BY_DIGEST, (id, digest, tag.as_str()))?);
    }
    for (subject, digest) in &referrers {
        rows += u64::from(tx.delete(&schema::REFERRER, (id, subject, digest))?);
    }
    Ok(rows)
}

/// The layout with only the first repositories.
fn shortened(layout: &Layout, repositories: usize) -> Layout {
    let kept = layout.repositories[..repositories].to_vec();
    let (manifests, tags) = kept.last().map_or((0, 0), |last| (last.manifests.end, last.tags.end));
    let sizes = Sizes { manifests, tags, repositories, ..layout.sizes };
    Layout { sizes, repositories: kept, lists: layout.lists }
}

/// Compacts a store while clients read any manifest and push tags.
fn compact(
    runtime: &Runtime,
    dir: &Path,
    layout: &Layout,
    deleted: u64,
    connections: usize,
) -> Result<Compacted, Failure> {
    let server = Server::start(dir, SETTINGS)?;
    let status = server.json("GET", "/api/v1/compact", "")?;
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    let met = meanwhile::run(runtime, &server, layout, connections, ("/api/v1/compact/runs", ""))?;
    let result = &met.job["result"];
    if result["compacted"] != true {
        return Err(Failure(format!("the compaction: {}", met.job)));
    }
    let took = meanwhile::took(&met.job)?;
    let done = Compacted {
        deleted,
        before: number(&result["before_bytes"]),
        after: number(&result["after_bytes"]),
        estimated: number(&status["needed_bytes"]),
        rows: number(&result["rows"]),
        took,
        paused: Duration::from_millis(number(&result["paused_ms"])),
        peak: met.peak,
        reads: met.reads,
        pushes: met.pushes,
    };
    server.stop()?;
    Ok(done)
}
