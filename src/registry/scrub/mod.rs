//! The scrub: reads everything stored, hashes it, and finds what has changed on the disk.
//!
//! It works beside pushes and pulls, at the rate that the settings permit, and slower while clients read or
//! send. What it proves damaged is hidden at once, as a read or a deep check hides it: clients then push it
//! again, and the push replaces it. What was hidden and is whole is shown again. Content is visited in the
//! order of digests, manifests first, so one position says how far a run is, and another run continues there.

mod blobs;
mod list;
mod manifests;
mod pace;
mod quarantine;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use quarantine::{Kind, QuarantinePage, Quarantined};

use self::pace::Pace;
use super::Registry;
use super::error::RegistryError;
use super::fsck::{self, Finding, Verdict};
use crate::access::{Grant, RunJobs, System};
use crate::limits::Resource;
use crate::model::digest::Digest;
use crate::model::names::{RepoId, RepoName};
use crate::store::meta::schema::{self, BlobState};
use crate::store::meta::{StoreError, Tx as _};
use crate::wire::Severity;

/// The most findings that a run lists; all of them are counted.
const LISTED: usize = 1_000;
/// A run that rests looks so often whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often content is read again that a push replaced while it was read.
const TRIES: u32 = 5;

/// What a scrub reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything from a position on; `None`: from the beginning.
    Everything(Option<Position>),
    /// The manifests and blobs of a repository.
    Repository(RepoName),
    /// The manifest and the blob with this digest.
    Digest(Digest),
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Manifests, which come first.
    Manifests,
    /// Blobs.
    Blobs,
}

impl Stage {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Blobs => "blobs",
        }
    }

    /// The stage with this word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Manifests, Self::Blobs].into_iter().find(|stage| stage.as_str() == word)
    }
}

/// How far a scrub of everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// What is read.
    pub stage: Stage,
    /// The last digest that was read; `None`: none of this stage.
    pub after: Option<Digest>,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { stage: Stage::Manifests, after: None };
}

/// What a scrub has done so far.
#[derive(Clone, Debug)]
pub struct Scrubbed {
    /// How far it is.
    pub at: Position,
    /// Manifests that were hashed.
    pub manifests: u64,
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests and blobs that are damaged or cannot be read.
    pub damaged: u64,
    /// Those of them that were served before, and are hidden from now on.
    pub hidden: u64,
    /// Manifests and blobs that were hidden and are whole.
    pub shown: u64,
    /// What is damaged; the first ones, if there are very many.
    pub findings: Vec<Finding>,
    /// The digests in the findings that were hidden when they were found.
    pub concealed: BTreeSet<Digest>,
    /// Whether all was read that was asked for.
    pub complete: bool,
}

impl Default for Scrubbed {
    fn default() -> Self {
        let (manifests, blobs, bytes, damaged, hidden, shown) = (0, 0, 0, 0, 0, 0);
        let (findings, concealed, complete) = (Vec::new(), BTreeSet::new(), false);
        let at = Position::START;
        Self { at, manifests, blobs, bytes, damaged, hidden, shown, findings, concealed, complete }
    }
}

/// How many manifests and blobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Manifests; one that several repositories hold counts once.
    pub manifests: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
}

impl Registry {
    /// Reads and hashes what `scope` says. `observer` is told how far the run is, several times a second, and
    /// ends it by returning false. It blocks the calling thread, for long.
    ///
    /// # Errors
    /// [`RegistryError`]: the store cannot be read or written. What was found before is in `done`.
    pub fn scrub(
        self: &Arc<Self>,
        _grant: &Grant<System>,
        scope: &Scope,
        done: &mut Scrubbed,
        observer: &mut dyn FnMut(&Scrubbed) -> bool,
    ) -> Result<(), RegistryError> {
        let registry = Arc::clone(self);
        let mut run = Run {
            registry,
            done,
            observer,
            pace: Pace::default(),
            verified: Vec::new(),
            rested: false,
            is_ended: false,
            is_cut: false,
        };
        let read = run.read(scope);
        // What is proven is noted whatever ended the run.
        run.note_verified();
        run.done.complete = read.is_ok() && !run.is_ended;
        read
    }

    /// How long a scrub lasts at most; zero: until it is done.
    pub fn max_scrub(&self) -> Duration {
        self.limits.load().max_scrub
    }

    /// How much a scrub of everything reads.
    pub fn extent(&self) -> Result<Extent, RegistryError> {
        Ok(self.meta.get(|tx| {
            let (manifests, blobs) = (tx.count(&schema::MANIFEST_BODY)?, tx.count(&schema::BLOB)?);
            let bytes = tx.get(&schema::DISK, ())?.unwrap_or_default().bytes;
            Ok::<_, StoreError>(Extent { manifests, blobs, bytes })
        })?)
    }

    /// Refuses a scope of which there is nothing.
    pub fn check_scope(&self, _grant: &Grant<RunJobs>, scope: &Scope) -> Result<(), RegistryError> {
        match scope {
            Scope::Everything(_) => Ok(()),
            Scope::Repository(name) => self.repository_id(name).map(drop),
            Scope::Digest(digest) => {
                let is_there = self.meta.get(|tx| {
                    let manifest = tx.has(&schema::MANIFEST_BODY, digest)?;
                    let held = manifest || tx.any(&schema::MANIFEST_REPO, digest)?;
                    Ok::<_, StoreError>(held || tx.has(&schema::BLOB, digest)?)
                })?;
                if is_there { Ok(()) } else { Err(RegistryError::ContentUnknown(*digest)) }
            }
        }
    }

    fn repository_id(&self, name: &RepoName) -> Result<RepoId, RegistryError> {
        let id = self.meta.get(|tx| tx.get(&schema::REPOSITORY_NAME, name.as_str()))?;
        id.ok_or_else(|| RegistryError::RepositoryUnknown(name.clone()))
    }

    /// Whether clients read large blobs, or send bodies, at this moment.
    fn is_busy(&self) -> bool {
        self.readers.any() || self.ledger.total(Resource::BodyPlaces) > 0
    }
}

/// A run of the scrub.
struct Run<'a> {
    registry: Arc<Registry>,
    done: &'a mut Scrubbed,
    observer: &'a mut dyn FnMut(&Scrubbed) -> bool,
    pace: Pace,
    /// Blobs that are whole, and whose rows do not show the stamps of their files yet.
    verified: Vec<Verdict>,
    /// Whether the run rested since it began with the present manifest or blob.
    rested: bool,
    /// The observer has ended the run.
    is_ended: bool,
    /// The run ended before it had read the present blob to its end.
    is_cut: bool,
}

impl Run<'_> {
    fn read(&mut self, scope: &Scope) -> Result<(), RegistryError> {
        match scope {
            Scope::Everything(from) => {
                let from = from.unwrap_or(Position::START);
                if from.stage == Stage::Manifests {
                    self.walk(None, from)?;
                }
                let blobs = Position { stage: Stage::Blobs, after: None };
                self.walk(None, if from.stage == Stage::Blobs { from } else { blobs })
            }
            Scope::Repository(name) => {
                let repository = self.registry.repository_id(name)?;
                self.walk(Some(repository), Position::START)?;
                self.walk(Some(repository), Position { stage: Stage::Blobs, after: None })
            }
            Scope::Digest(digest) => {
                self.one(Stage::Manifests, digest)?;
                if self.is_ended { Ok(()) } else { self.one(Stage::Blobs, digest) }
            }
        }
    }

    /// Reads everything of one stage behind a position, of one repository or of all.
    fn walk(&mut self, repository: Option<RepoId>, from: Position) -> Result<(), RegistryError> {
        if self.is_ended {
            return Ok(());
        }
        self.done.at = from;
        loop {
            let (stage, after) = (from.stage, self.done.at.after);
            let listed = self.registry.meta.read_blocking(|tx| list::next(tx, repository, stage, after));
            let digests = match listed {
                Err(StoreError::Corrupt { table }) => {
                    // The rows behind a damaged page cannot be listed.
                    let expected = format!("the table {table}");
                    self.finding(None, "table_unreadable", (expected, "damaged pages".to_owned()));
                    return Ok(());
                }
                listed => listed?,
            };
            if digests.is_empty() {
                return Ok(());
            }
            for digest in digests {
                self.one(stage, &digest)?;
                if self.is_cut {
                    return Ok(());
                }
                self.done.at.after = Some(digest);
                if self.is_ended {
                    return Ok(());
                }
            }
            self.note_verified();
        }
    }

    fn one(&mut self, stage: Stage, digest: &Digest) -> Result<(), RegistryError> {
        self.rested = false;
        let began = Instant::now();
        let read = match stage {
            Stage::Manifests => self.manifest(digest),
            Stage::Blobs => self.blob(digest),
        };
        match read {
            // What is behind a damaged page is read all the same.
            Err(RegistryError::Store(StoreError::Corrupt { table })) => self.unreadable_row(digest, table),
            read => read?,
        }
        if !self.rested {
            // What is missing or cannot be opened costs as much as a small file.
            self.rest(0, began.elapsed());
        }
        Ok(())
    }

    /// Rests after so many bytes were read in `took`, and tells how far the run is. False: the run ends.
    fn rest(&mut self, bytes: u64, took: Duration) -> bool {
        self.rested = true;
        let rate = self.registry.limits.load().scrub_rate;
        let left = self.pace.rest(bytes, took, rate, self.registry.is_busy());
        self.wait(left)
    }

    /// Sleeps for this long, and tells how far the run is. False: the run ends.
    fn wait(&mut self, mut left: Duration) -> bool {
        loop {
            if !(self.observer)(self.done) {
                self.is_ended = true;
                return false;
            }
            if left.is_zero() {
                return true;
            }
            let now = left.min(LOOK_EVERY);
            std::thread::sleep(now);
            left -= now;
        }
    }

    /// Adds something that is damaged: what was expected, and what was found.
    fn finding(&mut self, digest: Option<&Digest>, kind: &'static str, (expected, found): (String, String)) {
        self.done.damaged += 1;
        if self.done.findings.len() >= LISTED {
            return;
        }
        let images = digest.map(|digest| {
            fsck::needing(self.registry.meta.reader(), digest).unwrap_or_else(|error| {
                tracing::warn!(%digest, %error, "the images that need damaged content cannot be listed");
                Vec::new()
            })
        });
        let images = images.unwrap_or_default();
        self.done.concealed.extend(digest.filter(|digest| self.registry.is_hidden(digest)));
        let shown = digest.map(Digest::to_string);
        tracing::error!(
            digest = shown.as_deref().unwrap_or_default(),
            kind,
            found,
            images = images.join(", "),
            "the scrub found damage; push these images again"
        );
        self.done.findings.push(Finding {
            kind,
            severity: Severity::Damage,
            repository: None,
            digest: shown,
            images,
            expected,
            found,
        });
    }

    /// Adds a row that cannot be read.
    fn unreadable_row(&mut self, digest: &Digest, table: &str) {
        let expected = format!("a row of the table {table}");
        self.finding(Some(digest), "row_unreadable", (expected, "other bytes".to_owned()));
    }

    /// Notes the stamps of files that were hashed: reading them need not hash them again.
    fn note_verified(&mut self) {
        let verified = std::mem::take(&mut self.verified);
        if verified.is_empty() {
            return;
        }
        let noted = self.registry.meta.write(move |tx| {
            let mut present = Vec::new();
            for verdict in &verified {
                // One that was hidden since it was read is shown again only after it was read again.
                let row = tx.get(&schema::BLOB, &verdict.digest)?;
                present.extend(row.filter(|row| row.state == BlobState::Present).map(|_| *verdict));
            }
            fsck::write(tx, &present).map(drop)
        });
        if let Err(error) = self.registry.runtime.block_on(noted) {
            tracing::debug!(%error, "what a scrub has verified is not noted: the next reads verify it again");
        }
    }
}

/// Whether the disk takes no changes: what is damaged is told all the same.
const fn takes_no_changes(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::DiskFull | RegistryError::ReadOnly | RegistryError::Store(StoreError::Displaced)
    )
}
