//! The exclusive right to send bytes to a session, taken before the body is read.
//!
//! It is taken before the request takes a slot among the bodies that are received, so that a request that
//! waits for a session holds nothing that other requests wait for. While one request sends, a second one is
//! refused at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::body::ContentRange;
use super::session::{Session, SessionGuard};
use crate::access::{Grant, Push};
use crate::model::names::UploadId;
use crate::registry::Registry;
use crate::registry::error::RegistryError;

/// What the head of a request says about its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announced {
    /// Its `Content-Range`.
    pub range: Option<ContentRange>,
    /// Its length in bytes, if known.
    pub length: Option<u64>,
}

/// The one request that may send bytes to an upload. Dropping it leaves the upload as it was.
pub struct UploadWriter {
    registry: Arc<Registry>,
    session: Arc<Session>,
    grant: Grant<Push>,
    /// The position of the body, if its length is known.
    pub(super) range: Option<ContentRange>,
    ticket: u64,
}

impl Registry {
    /// Becomes the writer of an upload. A body at another position, or one that exceeds the free space or the
    /// caller's limit of unfinished bytes, is refused before it is received.
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
        // Without a range, the body begins at the offset that the client can know. If another request
        // appended bytes while this one waited, the offsets differ and the body is refused.
        let start = range.map_or(known, |range| range.start);
        if start != state.offset {
            return Err(RegistryError::RangeInvalid { offset: state.offset });
        }
        // Releases what an evicted writer had announced and not sent.
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
    /// Takes the state in order to write. It fails if the client was so slow that another request took the
    /// upload over.
    pub(super) fn begin(&mut self) -> Result<SessionGuard, RegistryError> {
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
