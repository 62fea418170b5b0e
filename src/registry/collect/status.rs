//! What is on the disk and is not used: why it is still there, and until when.

use std::sync::Arc;

use super::links::{self, Candidate, Verdict};
use super::{Mode, Plan, SLICE, Seen, Untagged, blobs, quarantine};
use crate::access::{Grant, ReadServer};
use crate::model::digest::Digest;
use crate::model::names::Sequence;
use crate::registry::error::RegistryError;
use crate::registry::links::holders;
use crate::registry::{Registry, pins};
use crate::store::meta::schema::{self, Blob, Link};
use crate::store::meta::{ReadTx, Row as _, StoreError, Tx as _};

/// Why unused bytes are still on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The next run takes them.
    Due,
    /// Their grace is not over. Freeing the space now takes them.
    Grace,
    /// A client was told that they exist, and may count on them.
    Promised,
    /// They would be due, and a pin holds everything.
    Pinned,
    /// Only the trash needs them.
    Trash,
    /// They were collected, and are kept in quarantine for a while.
    Quarantine,
    /// A row about them is damaged: they stay until it is repaired.
    Damaged,
}

/// The unused bytes that are on the disk for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Why they are there.
    pub reason: Reason,
    /// Blobs, or files in quarantine.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Running seconds from now until the first of them may go.
    pub first_in_s: Option<u64>,
    /// Running seconds from now until the last of them may go.
    pub last_in_s: Option<u64>,
}

/// Everything that is on the disk and is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Bytes of blobs that manifests refer to.
    pub live_bytes: u64,
    /// What is not used, by reason.
    pub parts: Vec<Part>,
    /// Manifests that no tag leads to, and that the next run deletes.
    pub untagged_due: u64,
    /// Manifests that no tag leads to, and that stay for their age.
    pub untagged_later: u64,
    /// Running seconds from now until all promises are known: after a crash they are not.
    pub unknown_for_s: Option<u64>,
}

impl Garbage {
    pub(super) fn add(&mut self, reason: Reason, bytes: u64, in_s: Option<u64>) {
        let place = self.parts.iter().position(|part| part.reason == reason).unwrap_or_else(|| {
            self.parts.push(Part { reason, blobs: 0, bytes: 0, first_in_s: None, last_in_s: None });
            self.parts.len() - 1
        });
        let part = &mut self.parts[place];
        part.blobs += 1;
        part.bytes += bytes;
        if let Some(in_s) = in_s {
            part.first_in_s = Some(part.first_in_s.map_or(in_s, |first| first.min(in_s)));
            part.last_in_s = Some(part.last_in_s.map_or(in_s, |last| last.max(in_s)));
        }
    }

    /// With a pin nothing goes before its end.
    fn hold(&mut self, for_s: u64) {
        for part in &mut self.parts {
            if part.reason == Reason::Due {
                part.reason = Reason::Pinned;
            }
            part.first_in_s = part.first_in_s.map(|in_s| in_s.max(for_s));
            part.last_in_s = part.last_in_s.map(|in_s| in_s.max(for_s));
        }
    }
}

impl Registry {
    /// What is on the disk and is not used. The cost follows from how much that is.
    ///
    /// # Errors
    /// [`RegistryError`]: the store cannot be read.
    pub async fn garbage(self: &Arc<Self>, grant: &Grant<ReadServer>) -> Result<Garbage, RegistryError> {
        let holder = grant.caller().holder();
        let now_s = self.meta.clock().now().running_s;
        let disk = self.meta.get(|tx| tx.get(&schema::DISK, ()))?.unwrap_or_default();
        let mut plan = Plan::default();
        let age_s = self.untagged_s(Untagged::AsSet)?;
        self.plan_manifests(&holder, (Mode::Scheduled, age_s), &mut plan).await?;
        let mut garbage = Garbage {
            untagged_due: plan.manifests,
            untagged_later: plan.later,
            live_bytes: disk.bytes.saturating_sub(disk.unused_bytes),
            parts: Vec::new(),
            unknown_for_s: self
                .promises
                .unknown_until(now_s)
                .map(|until| until.0.saturating_sub(now_s).saturating_add(1)),
        };
        let mut after = None;
        loop {
            let from = after;
            let free = self.scan(&holder, move |tx| Ok(blobs::free_with_sizes(tx, from)?)).await?;
            for (_, bytes) in &free {
                garbage.add(Reason::Due, *bytes, Some(0));
            }
            let Some((last, _)) = free.last() else { break };
            after = Some(*last);
        }
        let mut seen = self.add_trash(&holder, now_s, (&mut garbage, Seen::default())).await?;
        let mut after: Option<Candidate> = None;
        loop {
            let (registry, from) = (Arc::clone(self), after.clone());
            let look = move |tx: &ReadTx| {
                let listed = registry.waiting(tx, from.as_ref(), now_s, &mut seen)?;
                Ok((listed, seen))
            };
            let ((last, found), looked_at) = self.scan(&holder, look).await?;
            seen = looked_at;
            for (reason, bytes, in_s) in found {
                garbage.add(reason, bytes, in_s);
            }
            let Some(last) = last else { break };
            after = Some(last);
        }
        let mut after = Sequence(0);
        loop {
            let from = after;
            let files = self.scan(&holder, move |tx| Ok(quarantine::over(tx, from, Some(now_s))?)).await?;
            for (_, file) in &files {
                let over_s = file.since.0.saturating_add(quarantine::KEPT_S);
                garbage.add(Reason::Quarantine, file.size, Some(over_s.saturating_sub(now_s)));
            }
            let Some((last, _)) = files.last() else { break };
            after = *last;
        }
        if let Some(pin) = self.meta.get(|tx| pins::last(tx, now_s))? {
            garbage.hold(pin.for_s);
        }
        Ok(garbage)
    }

    /// One slice of the links that nothing refers to: the blobs that no manifest refers to, each once.
    /// The last link of the slice, if more may follow.
    #[expect(clippy::type_complexity, reason = "a place to continue, and what was found")]
    fn waiting(
        &self,
        tx: &ReadTx,
        after: Option<&Candidate>,
        now_s: u64,
        seen: &mut Seen,
    ) -> Result<(Option<Candidate>, Vec<(Reason, u64, Option<u64>)>), StoreError> {
        let listed = links::list(tx, after, Some(u64::MAX))?;
        let mut found = Vec::new();
        for candidate in &listed {
            let Some(digest) = candidate.2.known() else { continue };
            let Some(blob) = tx.get(&schema::BLOB.raw(), &digest)? else { continue };
            let Some(blob) = Blob::decode(&blob.0) else { continue };
            if blob.users == 0 && seen.first(&digest) {
                let (reason, in_s) = self.reason(tx, &digest, now_s)?;
                found.push((reason, blob.size, in_s));
            }
        }
        Ok((listed.last().filter(|_| listed.len() == SLICE).cloned(), found))
    }

    /// Why an unused blob is still there: it waits for the youngest of its links.
    fn reason(&self, tx: &ReadTx, digest: &Digest, now_s: u64) -> Result<(Reason, Option<u64>), StoreError> {
        let (mut promised_until, mut youngest) = (None, 0);
        for holder in holders(tx, digest)? {
            let row = tx.get(&schema::LINK.raw(), (holder, digest))?;
            let Some(link) = row.and_then(|row| Link::decode(&row.0)) else {
                return Ok((Reason::Damaged, None));
            };
            youngest = youngest.max(link.zero_since.0);
            let candidate = (link.zero_since, holder, (*digest).into());
            match self.judge(tx, &candidate, Mode::Now, now_s)?.0 {
                Verdict::Promised(until) => promised_until = promised_until.max(Some(until.0)),
                Verdict::Damaged => return Ok((Reason::Damaged, None)),
                Verdict::Due | Verdict::Waits | Verdict::Changed => {}
            }
        }
        let in_s = youngest.saturating_add(self.grace_s(now_s)).saturating_sub(now_s);
        Ok(match promised_until {
            _ if in_s == 0 => (Reason::Due, Some(0)),
            Some(until) => (Reason::Promised, Some(until.saturating_sub(now_s).saturating_add(1).min(in_s))),
            None => (Reason::Grace, Some(in_s)),
        })
    }
}
