//! Referrers: the manifests that name another one as their subject.

use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::Registry;
use super::error::RegistryError;
use super::listing::{Listing, PIECE, Piece, append};
use crate::access::{Grant, Pull};
use crate::model::digest::{AnyDigest, Digest};
use crate::model::manifest::Manifest;
use crate::model::names::RepoId;
use crate::store::meta::schema::{self, Referrer, ReferrerAnnotations};
use crate::store::meta::{ReadTx, StoreError, Tx as _};

/// The most descriptors on a page: some clients read only the first page.
const MAX_ENTRIES: usize = 1000;
/// The most bytes of a page, without its frame: oras-go and containerd read 4 MiB.
const MAX_BYTES: usize = (4 << 20) - 4096;
/// The most rows that are read for a page: a filter may skip most of them.
const MAX_LOOKED_AT: usize = 10_000;
/// The most bytes of manifests that are read for a page, because their annotations are not in their rows.
const MAX_READ: u64 = 4 << 20;
/// The most bytes of annotations that are kept in the row of a referrer.
pub const SHORT_ANNOTATIONS: usize = 4 << 10;

/// A query for referrers.
#[derive(Clone, Debug)]
pub struct ReferrerQuery {
    /// The manifest referred to, which need not exist.
    pub subject: AnyDigest,
    /// Only these artifact types; empty: all.
    pub artifact_types: Vec<String>,
    /// Only after this digest.
    pub last: Option<Digest>,
    /// The most descriptors.
    pub limit: Option<usize>,
}

/// The referrers of a page that are not read yet.
#[derive(Clone, Copy, Debug)]
pub struct ReferrersLeft {
    at: Position,
    /// The last one of the page.
    last: Digest,
}

/// How far a page was read.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// The last descriptor whose output began.
    digest: Digest,
    /// How many bytes of its annotations were read; `None`: all.
    within: Option<usize>,
}

/// A descriptor without its annotations.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
}

/// The row of a manifest that refers to a subject.
pub(super) fn row_of(manifest: &Manifest, body: &[u8]) -> Referrer {
    let annotations = match &manifest.annotations_at {
        Some(place) if !manifest.annotations.is_empty() => {
            let text = serde_json::to_string(&manifest.annotations).unwrap_or_default();
            if text.len() <= SHORT_ANNOTATIONS {
                ReferrerAnnotations::Short(text)
            } else {
                ReferrerAnnotations::Long { start: place.start, end: place.end }
            }
        }
        _ => ReferrerAnnotations::None,
    };
    Referrer {
        media_type: manifest.media_type.clone(),
        size: body.len() as u64,
        artifact_type: manifest.referrer_artifact_type().map(str::to_owned),
        annotations,
    }
}

impl Registry {
    /// A page of the referrers of a subject, in the order of their digests. An unknown subject or repository
    /// has none.
    pub async fn referrers(
        &self,
        grant: &Grant<Pull>,
        query: Arc<ReferrerQuery>,
    ) -> Result<Listing<ReferrersLeft>, RegistryError> {
        let Some(repository) = grant.repository() else { return Ok(Page::default().finish(None)) };
        self.scan(&grant.caller().holder(), move |tx| page(tx, repository, &query)).await
    }

    /// The next piece of such a page.
    pub fn more_referrers(
        self: &Arc<Self>,
        grant: &Grant<Pull>,
        query: Arc<ReferrerQuery>,
        left: ReferrersLeft,
    ) -> impl Future<Output = Result<Piece<ReferrersLeft>, RegistryError>> + use<> {
        let (registry, repository, holder) = (Arc::clone(self), grant.repository(), grant.caller().holder());
        async move {
            let Some(repository) = repository else { return Ok(Piece { json: Bytes::new(), left: None }) };
            registry.scan(&holder, move |tx| piece(tx, repository, &query, left)).await
        }
    }
}

impl ReferrerQuery {
    fn wants(&self, row: &Referrer) -> bool {
        let types = &self.artifact_types;
        types.is_empty() || row.artifact_type.as_ref().is_some_and(|artifact| types.contains(artifact))
    }

    /// Calls `visit` with each referrer from `from` to `to`, including those that the filter skips.
    fn scan(
        &self,
        tx: &ReadTx,
        repository: RepoId,
        after: Option<Digest>,
        last: Option<Digest>,
        visit: impl FnMut(Digest, Referrer) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let to = last.as_ref().map_or(Bound::Unbounded, Bound::Included);
        tx.scan_within(&schema::REFERRER, (repository, &self.subject), (from, to), visit)
    }
}

/// Builds a page: its first piece, and the count of everything on it.
#[derive(Default)]
struct Page {
    text: Text,
    entries: usize,
    bytes: usize,
    read: u64,
    last: Option<Digest>,
}

impl Page {
    /// Whether one more descriptor would be too many.
    fn is_full(&self, row: &Referrer, limit: usize) -> bool {
        let (bytes, read) = cost(row);
        self.entries == limit
            || (self.entries > 0 && self.bytes + bytes > MAX_BYTES)
            || (self.read > 0 && self.read + read > MAX_READ)
    }

    fn take(&mut self, tx: &ReadTx, digest: Digest, row: &Referrer) -> Result<(), RegistryError> {
        let (bytes, read) = cost(row);
        self.entries += 1;
        self.bytes += bytes;
        self.read += read;
        self.last = Some(digest);
        self.text.begin(tx, digest, row)
    }

    fn finish(self, next: Option<Digest>) -> Listing<ReferrersLeft> {
        let Text { json, at } = self.text;
        let left = at.zip(self.last).map(|(at, last)| ReferrersLeft { at, last });
        Listing {
            first: Bytes::from(json),
            left: left.filter(ReferrersLeft::is_some),
            next: next.map(|digest| digest.to_string()),
        }
    }
}

impl ReferrersLeft {
    fn is_some(&self) -> bool {
        self.at.within.is_some() || self.at.digest != self.last
    }
}

/// The greatest length of a descriptor, and how many bytes of manifests must be read for it.
fn cost(row: &Referrer) -> (usize, u64) {
    let artifact_type = row.artifact_type.as_ref().map_or(0, String::len);
    let (annotations, read) = match &row.annotations {
        ReferrerAnnotations::None => (0, 0),
        ReferrerAnnotations::Short(text) => (text.len(), 0),
        ReferrerAnnotations::Long { start, end } => (end.saturating_sub(*start) as usize, row.size),
    };
    // 300: the names of the fields, a digest of SHA-512, a size.
    (300 + row.media_type.len() + artifact_type + annotations, read)
}

fn page(
    tx: &ReadTx,
    repository: RepoId,
    query: &ReferrerQuery,
) -> Result<Listing<ReferrersLeft>, RegistryError> {
    let limit = query.limit.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
    let (mut page, mut next) = (Page::default(), None);
    if limit == 0 {
        return Ok(page.finish(None));
    }
    let (mut looked_at, mut result) = (0, Ok(()));
    query.scan(tx, repository, query.last, None, |digest, row| {
        if looked_at == MAX_LOOKED_AT {
            return ControlFlow::Break(());
        }
        looked_at += 1;
        if query.wants(&row) {
            if page.is_full(&row, limit) {
                next = page.last;
                return ControlFlow::Break(());
            }
            result = page.take(tx, digest, &row);
        }
        // The rest is on the next page, even if the filter skipped everything on this one.
        next = (looked_at == MAX_LOOKED_AT).then_some(digest);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map(|()| page.finish(next))
}

fn piece(
    tx: &ReadTx,
    repository: RepoId,
    query: &ReferrerQuery,
    left: ReferrersLeft,
) -> Result<Piece<ReferrersLeft>, RegistryError> {
    let ReferrersLeft { at, last } = left;
    let mut text = Text { json: Vec::new(), at: None };
    if let Some(within) = at.within {
        let row = tx.get(&schema::REFERRER, (repository, &query.subject, &at.digest))?;
        let row = row.ok_or_else(|| RegistryError::ManifestUnknown(at.digest.to_string()))?;
        text.annotations(tx, at.digest, &row, within)?;
    }
    let mut result = Ok(());
    if text.at.is_none() {
        query.scan(tx, repository, Some(at.digest), Some(last), |digest, row| {
            if query.wants(&row) {
                // The first entry of the page is in an earlier piece.
                text.json.push(b',');
                result = text.entry(tx, digest, &row);
            }
            if result.is_ok() && text.at.is_none() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
    }
    result?;
    let left = text.at.map(|at| ReferrersLeft { at, last }).filter(ReferrersLeft::is_some);
    Ok(Piece { json: Bytes::from(text.json), left })
}

/// Builds a piece of a page.
#[derive(Default)]
struct Text {
    json: Vec<u8>,
    /// The position after it, once it is full.
    at: Option<Position>,
}

impl Text {
    /// Appends an entry to the first piece of a page, if there is room.
    fn begin(&mut self, tx: &ReadTx, digest: Digest, row: &Referrer) -> Result<(), RegistryError> {
        if self.at.is_some() {
            return Ok(());
        }
        if !self.json.is_empty() {
            self.json.push(b',');
        }
        self.entry(tx, digest, row)
    }

    fn entry(&mut self, tx: &ReadTx, digest: Digest, row: &Referrer) -> Result<(), RegistryError> {
        let Referrer { media_type, size, artifact_type, annotations } = row;
        let descriptor =
            Descriptor { media_type, digest, size: *size, artifact_type: artifact_type.as_deref() };
        append(&mut self.json, true, &descriptor);
        match annotations {
            ReferrerAnnotations::Short(text) => {
                self.open_annotations();
                self.json.extend_from_slice(text.as_bytes());
                self.json.push(b'}');
            }
            ReferrerAnnotations::Long { .. } if is_whole(tx, &digest)? => {
                self.open_annotations();
                return self.annotations(tx, digest, row, 0);
            }
            // The annotations of a damaged manifest are left out.
            ReferrerAnnotations::None | ReferrerAnnotations::Long { .. } => {}
        }
        self.end_entry(digest);
        Ok(())
    }

    /// Removes the bracket that ends the descriptor, so that annotations can follow.
    fn open_annotations(&mut self) {
        self.json.pop();
        self.json.extend_from_slice(b",\"annotations\":");
    }

    /// Appends long annotations from a byte on, as far as there is room.
    fn annotations(
        &mut self,
        tx: &ReadTx,
        digest: Digest,
        row: &Referrer,
        from: usize,
    ) -> Result<(), RegistryError> {
        let unknown = || RegistryError::ManifestUnknown(digest.to_string());
        let place = long(row).ok_or_else(unknown)?;
        let start = place.start + from;
        let end = place.end.min(start + PIECE.saturating_sub(self.json.len()).max(1));
        let copied = tx.with(&schema::MANIFEST_BODY, &digest, |body| {
            body.get(start..end).map(|part| self.json.extend_from_slice(part))
        })?;
        copied.flatten().ok_or_else(unknown)?;
        if end < place.end {
            self.at = Some(Position { digest, within: Some(end - place.start) });
        } else {
            self.json.push(b'}');
            self.end_entry(digest);
        }
        Ok(())
    }

    fn end_entry(&mut self, digest: Digest) {
        if self.json.len() >= PIECE {
            self.at = Some(Position { digest, within: None });
        }
    }
}

fn long(row: &Referrer) -> Option<Range<usize>> {
    match row.annotations {
        ReferrerAnnotations::Long { start, end } => Some(start as usize..end as usize),
        ReferrerAnnotations::None | ReferrerAnnotations::Short(_) => None,
    }
}

fn is_whole(tx: &ReadTx, digest: &Digest) -> Result<bool, StoreError> {
    let hashed = tx.with(&schema::MANIFEST_BODY, digest, |body| Digest::of(digest.algorithm(), body));
    Ok(hashed? == Some(*digest))
}
