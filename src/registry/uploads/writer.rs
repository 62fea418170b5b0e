//! The right to send bytes to a session, taken before the body is read.
//!
//! A session has one writer. It is taken before a request takes a place among the bodies that are received: a
//! request that waits for a session holds nothing that others wait for. A second request is refused at once
//! while the first one sends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::body::ContentRange;
use super::session::{Session, Writer};
use crate::access::{Grant, Push};
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;

/// What a request says of its body before it comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announced {
    /// Where the client believes it to belong.
    pub range: Option<ContentRange>,
    /// Its bytes, where they are known.
    pub length: Option<u64>,
}

/// The one request that may send bytes to an upload. Dropping it leaves the upload as it was.
pub struct UploadWriter {
    registry: Arc<Registry>,
    session: Arc<Session>,
    grant: Grant<Push>,
    /// Where the body belongs, of one whose length is known.
    pub(super) range: Option<ContentRange>,
    ticket: u64,
}

impl Registry {
    /// Becomes the writer of an upload. A body that belongs elsewhere, or that does not fit on the disk or
    /// into what the caller may have unfinished, is refused before it comes.
    pub async fn write_upload(
        self: &Arc<Self>,
        grant: &Grant<Push>,
        id: UploadId,
        announced: Announced,
    ) -> Result<UploadWriter, RegistryError> {
        let session = self.session(grant, id).await?;
        let known = session.received.load(Ordering::Acquire);
        let clock = self.meta.clock();
        let mut state = session.take(clock).await?;
        let Announced { range, length } = announced;
        // Without a range the body follows what the client can know of: no bytes that came while this request
        // waited.
        let start = range.map_or(known, |range| range.start);
        if start != state.offset {
            return Err(RegistryError::RangeInvalid { offset: state.offset });
        }
        // Of a writer that was sent away.
        state.settle_bytes();
        let bytes = range.map(|range| range.len()).or(length);
        if bytes != Some(0) {
            self.check_space(bytes.unwrap_or(0))?;
        }
        state.count_bytes(&self.ledger, &session.holder, start.saturating_add(bytes.unwrap_or(0)))?;
        session.touch(clock.now().running_s);
        let follows = |bytes: u64| ContentRange { start, end: start.saturating_add(bytes - 1) };
        let range = range.or_else(|| length.filter(|length| *length > 0).map(follows));
        let ticket = session.park(state, bytes != Some(0));
        Ok(UploadWriter { registry: Arc::clone(self), session, grant: grant.carry(), range, ticket })
    }
}

impl UploadWriter {
    /// Takes the state to write to it. An error where the client was so slow that another request took the
    /// upload over.
    pub(super) fn begin(&mut self) -> Result<Writer, RegistryError> {
        let taken_over =
            || RegistryError::RangeInvalid { offset: self.session.received.load(Ordering::Acquire) };
        self.session.unpark(self.ticket).ok_or_else(taken_over)
    }

    pub(super) fn into_parts(self) -> (Arc<Registry>, Arc<Session>, Grant<Push>) {
        (Arc::clone(&self.registry), Arc::clone(&self.session), self.grant.carry())
    }
}

impl Drop for UploadWriter {
    fn drop(&mut self) {
        if let Some(mut state) = self.session.unpark(self.ticket) {
            state.settle_bytes();
            self.session.received_all();
        }
    }
}
