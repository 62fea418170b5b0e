//! Links that nothing refers to.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{Collected, Mode, Observer, Run, SLICE};
use crate::model::digest::AnyDigest;
use crate::model::names::RepoId;
use crate::model::time::RunningSecond;
use crate::registry::error::RegistryError;
use crate::registry::{Registry, links};
use crate::store::meta::schema::{self, Link};
use crate::store::meta::{ReadTx, Row as _, StoreError, Tx, WriteTx};

/// A row of `link_zero`.
pub(super) type Candidate = (RunningSecond, RepoId, AnyDigest);

/// Whether a link may go.
pub(super) enum Verdict {
    /// It may.
    Due,
    /// Not yet.
    Waits,
    /// A client was told that the blob exists, until this running second.
    Promised(RunningSecond),
    /// It was renewed, removed or referred to since it was listed.
    Changed,
    /// Its row cannot be read, or does not fit the index.
    Damaged,
}

impl Run {
    /// Removes every link that may go; whether the run goes on.
    pub(super) async fn links(&mut self, observer: &mut dyn Observer) -> Result<bool, RegistryError> {
        // From here on, promises that are about to be given pass the writer.
        let _freeing = self.mode.is_now().then(|| self.registry.promises.freeing());
        let mut after = None;
        loop {
            let (from, newest) = (after.clone(), self.registry.newest_due(self.mode));
            let listed = self.registry.meta.scan(move |tx| list(tx, from.as_ref(), newest)).await?;
            let Some(last) = listed.last() else { return Ok(true) };
            after = Some(last.clone());
            let (registry, mode, vetoed) = (Arc::clone(&self.registry), self.mode, Arc::clone(&self.vetoed));
            let candidates: Vec<Candidate> = listed
                .into_iter()
                .filter(|(_, repository, _)| !vetoed.repositories.contains(repository))
                .collect();
            let work = move |tx: &WriteTx<'_>, part: &[Candidate]| remove(tx, &registry, part, mode);
            let name =
                |(_, repository, digest): &Candidate| format!("{digest} in repository number {repository}");
            let done = self.each(candidates, name, work).await?;
            self.collected.add(done);
            if !self.breathe(observer).await {
                return Ok(false);
            }
        }
    }
}

impl Registry {
    /// Running seconds for which a link stays that nothing refers to: twice the promise. A promise that was
    /// given just before the link lost its last reference, or just before it was renewed, is over then.
    pub(super) fn grace_s(&self, now_s: u64) -> u64 {
        self.promises.longest_s(now_s).saturating_mul(2)
    }

    /// The running second up to which links are listed; `None` if none is old enough.
    pub(super) fn newest_due(&self, mode: Mode) -> Option<u64> {
        let now_s = self.meta.clock().now().running_s;
        if mode.is_now() { Some(now_s) } else { now_s.checked_sub(self.grace_s(now_s)) }
    }

    /// Whether a listed link may go.
    pub(super) fn judge(
        &self,
        tx: &impl Tx,
        (since, repository, digest): &Candidate,
        mode: Mode,
        now_s: u64,
    ) -> Result<(Verdict, Option<Link>), StoreError> {
        // A row that cannot be read spares what it could hold, and nothing else.
        let row = tx.get(&schema::LINK.raw(), (*repository, digest))?;
        let link = row.as_ref().and_then(|row| Link::decode(&row.0));
        let is_listed = tx.has(&schema::LINK_ZERO, (*since, *repository, digest))?;
        let Some(link) = link.filter(|link| link.present && link.zero_since == *since) else {
            return Ok((if is_listed { Verdict::Damaged } else { Verdict::Changed }, None));
        };
        if link.references > 0 || link.trash_references > 0 || digest.known().is_none() {
            return Ok((if is_listed { Verdict::Damaged } else { Verdict::Changed }, None));
        }
        if now_s.saturating_sub(since.0) >= self.grace_s(now_s) {
            // On a disk that takes no writes, a look at the blob could not renew the age of its link.
            let noted =
                digest.known().and_then(|known| self.promises.noted_until(*repository, &known, now_s));
            return Ok((noted.map_or(Verdict::Due, Verdict::Promised), Some(link)));
        }
        if !mode.is_now() {
            return Ok((Verdict::Waits, Some(link)));
        }
        let promised = self.promises.until((*repository, digest), &link, now_s);
        Ok((promised.map_or(Verdict::Due, Verdict::Promised), Some(link)))
    }
}

/// The oldest links behind `after` that are as old as `newest` or older. Rows of links are not read.
pub(super) fn list(
    tx: &ReadTx,
    after: Option<&Candidate>,
    newest: Option<u64>,
) -> Result<Vec<Candidate>, StoreError> {
    let mut listed = Vec::new();
    let Some(newest) = newest else { return Ok(listed) };
    let from = after.map_or(Bound::Unbounded, |(since, repository, digest)| {
        Bound::Excluded((*since, *repository, digest))
    });
    tx.scan_range(&schema::LINK_ZERO.keys(), (from, Bound::Unbounded), |(since, repository, digest), _| {
        if since.0 > newest {
            return ControlFlow::Break(());
        }
        listed.push((since, repository, digest));
        if listed.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(listed)
}

/// Removes those of the links that may still go.
fn remove(
    tx: &WriteTx<'_>,
    registry: &Registry,
    candidates: &[Candidate],
    mode: Mode,
) -> Result<Collected, RegistryError> {
    let mut done = Collected::default();
    let now_s = tx.now().running_s;
    for candidate in candidates {
        let (_, repository, digest) = candidate;
        match registry.judge(tx, candidate, mode, now_s)? {
            (Verdict::Due, Some(link)) => {
                let Some(known) = digest.known() else { continue };
                links::detach(tx, *repository, &known, &link)?;
                registry.remove_if_unused(tx, *repository)?;
                done.links += 1;
            }
            (Verdict::Promised(_), _) => done.promised += 1,
            (Verdict::Damaged, _) => {
                done.spare(|| format!("{digest} in repository number {repository}: its link is damaged"));
            }
            (Verdict::Due | Verdict::Waits | Verdict::Changed, _) => {}
        }
    }
    Ok(done)
}
