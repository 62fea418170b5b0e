//! The scrub: reads everything stored again while the server works, and continues where the last run ended.
//!
//! How far the cycle is belongs to the result of each run, which is also kept of a run that was ended or
//! killed. A run of a part hands it on unchanged, so the newest result always has it.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::access::{Grant, System};
use crate::lifecycle::job::{Context, Finished, Job, Unfinished};
use crate::model::time::rfc3339;
use crate::model::units::{counted, exact_size};
use crate::registry::fsck::{Finding, Progress};
use crate::registry::{
    Registry, RegistryError, ScrubExtent, ScrubPosition, ScrubScope, ScrubStage, Scrubbed,
};
use crate::wire::{self, JobKind, ScrubCycle, Unhealed};

/// Damage that is remembered from run to run, at most.
const UNHEALED: usize = 1_000;
/// Findings that the log of a job names; its result has them all.
const TOLD: usize = 150;

/// What is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubParams {
    /// A new cycle begins.
    #[serde(default)]
    pub full: bool,
    /// Only this repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Only this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A scrub.
pub struct ScrubJob {
    registry: Arc<Registry>,
    grant: Grant<System>,
}

impl ScrubJob {
    /// A scrub in the name of the server.
    pub const fn new(registry: Arc<Registry>, grant: Grant<System>) -> Self {
        Self { registry, grant }
    }
}

impl Job for ScrubJob {
    const KIND: JobKind = JobKind::Scrub;
    type Params = ScrubParams;
    type Output = wire::Scrubbed;

    fn run(
        &self,
        params: &ScrubParams,
        context: &Context<'_>,
    ) -> Result<Finished<wire::Scrubbed>, Unfinished> {
        let failed = |error: RegistryError| Unfinished::Failed(error.to_string());
        let mut plan = Plan::of(params, context).map_err(Unfinished::Failed)?;
        plan.extent = self.registry.extent().map_err(failed)?;
        plan.unhealed.retain(|damage| self.registry.is_unhealed(damage));
        tracing::info!(scope = plan.scope_text(), "a scrub started");
        let (started, longest) = (Instant::now(), self.registry.max_scrub());
        let (mut done, mut told) = (Scrubbed::default(), 0);
        let (mut cancelled, mut late) = (false, false);
        let read = self.registry.scrub(&self.grant, &plan.scope, &mut done, &mut |done| {
            tell(&done.findings, &mut told, context);
            if context.is_due() {
                context.keep::<Self>(&self.output(&plan, done, context.now_ms()));
            }
            cancelled = context.progress(plan.progress(done)).is_break();
            // A run reads at least one thing, however long that takes: otherwise none would get behind it.
            let has_read = done.manifests + done.blobs > 0;
            late = !longest.is_zero() && started.elapsed() >= longest && has_read;
            !cancelled && !late
        });
        tell(&done.findings, &mut told, context);
        let output = self.output(&plan, &done, context.now_ms());
        context.keep::<Self>(&output);
        conclude(&done, context);
        if let Err(error) = read {
            tracing::warn!(%error, "the scrub ended with an error; a later run reads the rest");
            return Err(failed(error));
        }
        if cancelled && !done.complete {
            tracing::info!("the scrub was cancelled; a later run reads the rest");
            return Err(Unfinished::Cancelled);
        }
        if late && !done.complete {
            context.log("partly done: storage.scrub.max_duration is over; a later run reads the rest");
        }
        Ok(Finished { problems: done.damaged, output })
    }

    fn shortened(output: &wire::Scrubbed, halvings: u32) -> Option<wire::Scrubbed> {
        let kept = output.findings.len().checked_shr(halvings).filter(|kept| *kept > 0)?;
        Some(wire::Scrubbed { findings: output.findings[..kept].to_vec(), ..output.clone() })
    }
}

impl ScrubJob {
    fn output(&self, plan: &Plan, done: &Scrubbed, now_ms: u64) -> wire::Scrubbed {
        plan.output(done, now_ms, |damage| self.registry.is_unhealed(damage))
    }
}

/// What a run reads, and where the cycle is.
struct Plan {
    scope: ScrubScope,
    extent: ScrubExtent,
    /// The cycle before this run; of a run of everything, the one that it continues.
    cycle: Option<ScrubCycle>,
    cycle_ended_at: Option<String>,
    /// When the run began.
    began_at: String,
    /// What earlier runs have found, and what is not healed.
    unhealed: Vec<Unhealed>,
}

impl Plan {
    fn of(params: &ScrubParams, context: &Context<'_>) -> Result<Self, String> {
        let earlier = context.earlier().and_then(|result| serde_json::from_str(&result).ok());
        let wire::Scrubbed { cycle, cycle_ended_at, unhealed, .. } = earlier.unwrap_or_default();
        let began_at = rfc3339(context.now_ms());
        let extent = ScrubExtent::default();
        let part = match (&params.repository, &params.digest) {
            (Some(name), _) => Some(ScrubScope::Repository(name.parse().map_err(text)?)),
            (None, Some(digest)) => Some(ScrubScope::Digest(digest.parse().map_err(text)?)),
            (None, None) => None,
        };
        if let Some(scope) = part {
            return Ok(Self { scope, extent, cycle, cycle_ended_at, began_at, unhealed });
        }
        // A position that a later version has written cannot be read: everything is read then.
        let continued = cycle.filter(|_| !params.full).and_then(|cycle| Some((position(&cycle)?, cycle)));
        let (from, cycle) = if let Some((from, cycle)) = continued {
            let (stage, after) = (&cycle.stage, cycle.after.as_deref().unwrap_or("their beginning"));
            context.log(format!("continues the cycle of {}: {stage} after {after}", cycle.began_at));
            (from, cycle)
        } else {
            let began_at = began_at.clone();
            (ScrubPosition::START, ScrubCycle { began_at, ..ScrubCycle::default() })
        };
        let scope = ScrubScope::Everything(Some(from));
        Ok(Self { scope, extent, cycle: Some(cycle), cycle_ended_at, began_at, unhealed })
    }

    const fn is_everything(&self) -> bool {
        matches!(self.scope, ScrubScope::Everything(_))
    }

    fn scope_text(&self) -> String {
        match &self.scope {
            ScrubScope::Everything(_) => "everything".to_owned(),
            ScrubScope::Repository(name) => name.to_string(),
            ScrubScope::Digest(digest) => digest.to_string(),
        }
    }

    fn progress(&self, done: &Scrubbed) -> Progress {
        let before = self.cycle.as_ref().filter(|_| self.is_everything());
        let (manifests, blobs, bytes) =
            before.map_or((0, 0, 0), |cycle| (cycle.manifests, cycle.blobs, cycle.bytes));
        let is_blobs = done.at.stage == ScrubStage::Blobs;
        let (so_far, total) = if is_blobs {
            (blobs + done.blobs, self.extent.blobs)
        } else {
            (manifests + done.manifests, self.extent.manifests)
        };
        // Of a part it is not known how much it is. What was pushed since the beginning is read, too.
        let total = if self.is_everything() { total.max(so_far) } else { 0 };
        Progress { stage: done.at.stage.as_str(), done: so_far, total, bytes: bytes + done.bytes }
    }

    /// What is not healed: what this run has found, and what earlier ones have and it has not read whole.
    fn unhealed(&self, done: &Scrubbed, is_unhealed: impl Fn(&Unhealed) -> bool) -> Vec<Unhealed> {
        let is_concealed = |digest: &str| digest.parse().is_ok_and(|digest| done.concealed.contains(&digest));
        let found = done.findings.iter().map(|finding| Unhealed {
            digest: finding.digest.clone(),
            hidden: finding.digest.as_deref().is_some_and(is_concealed),
            found_at: self.began_at.clone(),
        });
        // What was pushed again since it was found is healed.
        let mut all: Vec<Unhealed> = found.filter(is_unhealed).collect();
        let is_found = |old: &Unhealed| done.findings.iter().any(|finding| finding.digest == old.digest);
        let was_read = |old: &Unhealed| match &self.scope {
            _ if !done.complete || old.hidden => false,
            // What an earlier part of this cycle has found was not read again.
            ScrubScope::Everything(_) => {
                self.cycle.as_ref().is_some_and(|cycle| old.found_at < cycle.began_at)
            }
            ScrubScope::Repository(_) => false,
            ScrubScope::Digest(digest) => old.digest.as_deref() == Some(&*digest.to_string()),
        };
        all.extend(self.unhealed.iter().filter(|old| !is_found(old) && !was_read(old)).cloned());
        all.truncate(UNHEALED);
        all
    }

    fn output(
        &self,
        done: &Scrubbed,
        now_ms: u64,
        is_unhealed: impl Fn(&Unhealed) -> bool,
    ) -> wire::Scrubbed {
        let unhealed = self.unhealed(done, is_unhealed);
        let (mut cycle, mut cycle_ended_at) = (self.cycle.clone(), self.cycle_ended_at.clone());
        if self.is_everything() && done.complete {
            cycle = None;
            cycle_ended_at = Some(rfc3339(now_ms));
        } else if self.is_everything()
            && let Some(cycle) = &mut cycle
        {
            done.at.stage.as_str().clone_into(&mut cycle.stage);
            cycle.after = done.at.after.map(|digest| digest.to_string());
            cycle.manifests += done.manifests;
            cycle.blobs += done.blobs;
            cycle.bytes += done.bytes;
            cycle.damaged += done.damaged;
        }
        let Scrubbed { manifests, blobs, bytes, damaged, hidden, shown, complete, .. } = *done;
        let findings = done.findings.iter().map(wire::Finding::from).collect();
        wire::Scrubbed {
            manifests,
            blobs,
            bytes,
            damaged,
            hidden,
            shown,
            findings,
            complete,
            cycle,
            cycle_ended_at,
            unhealed,
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn position(cycle: &ScrubCycle) -> Option<ScrubPosition> {
    let stage = ScrubStage::named(&cycle.stage)?;
    let after = cycle.after.as_ref().map(|digest| digest.parse()).transpose().ok()?;
    Some(ScrubPosition { stage, after })
}

/// Writes what was found since the last call to the log of the job.
fn tell(findings: &[Finding], told: &mut usize, context: &Context<'_>) {
    for Finding { kind, digest, images, .. } in findings.iter().take(TOLD).skip(*told) {
        let what = digest.as_deref().unwrap_or("the database");
        let kind = kind.replace('_', " ");
        context.log(match images.len() {
            0 => format!("{what} is damaged ({kind}); no image needs it"),
            _ => format!("{what} is damaged ({kind}); push again: {}", images.join(", ")),
        });
    }
    *told = findings.len();
}

/// Writes what was done to the log of the job, and of the server.
fn conclude(done: &Scrubbed, context: &Context<'_>) {
    let Scrubbed { manifests, blobs, bytes, damaged, hidden, shown, complete, .. } = done;
    tracing::info!(manifests, blobs, bytes, damaged, hidden, shown, complete, "the scrub has ended");
    let (manifests, blobs) = (counted(*manifests, "manifest", "manifests"), counted(*blobs, "blob", "blobs"));
    context.log(format!("hashed {manifests} and {blobs} ({})", exact_size(*bytes)));
    if *shown > 0 {
        context.log(format!("{shown} that were hidden are whole, and are served again"));
    }
    context.log(format!("found {}", counted(*damaged, "problem", "problems")));
}
