//! What a job is: work that takes longer than an answer may. Each is a file of `lifecycle/jobs/`; the runner
//! there sees to its row, its history and its end.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::jobs::live::Live;
use super::jobs::rows::MAX_RESULT;
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
    earlier: &'r dyn Fn() -> Option<String>,
    saved: Cell<Instant>,
}

impl<'r> Context<'r> {
    /// The context of a job in its server's memory. `save` writes its row; `earlier` reads the last result of
    /// its kind.
    pub(super) fn new(live: &'r Live, save: &'r dyn Fn(), earlier: &'r dyn Fn() -> Option<String>) -> Self {
        Self { live, save, earlier, saved: Cell::new(Instant::now()) }
    }

    /// What the last job of this kind found that has a result, as JSON: a job may continue there.
    pub fn earlier(&self) -> Option<String> {
        (self.earlier)()
    }

    /// Whether the row of the job is due to be written, with what it has found so far.
    pub fn is_due(&self) -> bool {
        self.saved.get().elapsed() >= SAVE_EVERY
    }

    /// Notes what the job has found so far. It is stored with the row, and is the result of a job that does
    /// not come to its end.
    pub fn keep<J: Job>(&self, found: &J::Output) {
        self.live.keep(within::<J>(found).map(Arc::from));
    }

    /// The time now, in Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.live.now_ms()
    }

    /// Says how far the job is. A break means that it is to end.
    pub fn progress(&self, progress: Progress) -> ControlFlow<()> {
        self.live.tell(progress);
        if self.is_due() {
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

/// The JSON form of plain data.
pub(super) fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("it is plain data with names of text")
}

/// What of an output may be stored.
pub(super) fn within<J: Job>(output: &J::Output) -> Option<String> {
    let fits = |text: &String| text.len() <= MAX_RESULT;
    let whole = Some(json(output)).filter(fits);
    // An output is in memory, so its list ends within as many halvings as a number has bits.
    let shortened = |halvings| J::shortened(output, halvings).map(|output| json(&output)).filter(fits);
    whole.or_else(|| (1..u64::BITS).find_map(shortened))
}
