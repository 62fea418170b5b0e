//! What a job is: work that takes longer than an answer may. Each is a file of `lifecycle/jobs/`; the runner
//! there sees to its row, its history and its end.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::jobs::live::Live;
use crate::registry::fsck::Progress;
use crate::wire::JobKind;

/// How often the row of a job that works is written at most: a server that is killed loses as much of its
/// progress and of its log.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Work of one kind. One job of a kind runs at a time: two would only make each other slow.
pub trait Job: Send + 'static {
    /// What it does.
    const KIND: JobKind;

    /// What was asked for. It is stored as a JSON object, so that a job can be shown, and begun again, after
    /// a restart, also by a later version: a field that is added needs a default.
    type Params: Serialize + DeserializeOwned + Send + 'static;

    /// What it finds, as the API shows it.
    type Output: Serialize;

    /// Does the work, on the calling thread, which it may keep for long. It says through `context` how far it
    /// is, at least a few times a second, and ends soon when that breaks.
    ///
    /// # Errors
    /// [`Unfinished`]: why it did not come to its end.
    fn run(&self, params: &Self::Params, context: &Context<'_>)
    -> Result<Finished<Self::Output>, Unfinished>;

    /// The output with the list in it cut to a half so many times, for one whose JSON is larger than a row
    /// may be; `None` when nothing is left of the list.
    fn shortened(_output: &Self::Output, _halvings: u32) -> Option<Self::Output> {
        None
    }
}

/// A job that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished<T> {
    /// What it found.
    pub output: T,
    /// How much of that needs attention.
    pub problems: u64,
}

/// Why a job did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It was asked to end.
    Cancelled,
    /// It could not go on.
    Failed(String),
}

/// What a job has to do with those who watch it.
pub struct Context<'r> {
    live: &'r Live,
    save: &'r dyn Fn(),
    saved: Cell<Instant>,
}

impl<'r> Context<'r> {
    /// The context of a job in its server's memory. `save` writes its row.
    pub(super) fn new(live: &'r Live, save: &'r dyn Fn()) -> Self {
        Self { live, save, saved: Cell::new(Instant::now()) }
    }

    /// Says how far the job is. A break means that it is to end.
    pub fn progress(&self, progress: Progress) -> ControlFlow<()> {
        self.live.tell(progress);
        if self.saved.get().elapsed() >= SAVE_EVERY {
            (self.save)();
            self.saved.set(Instant::now());
        }
        if self.live.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Adds a line to the job's log.
    pub fn log(&self, text: impl Into<String>) {
        self.live.log(text.into());
    }
}
