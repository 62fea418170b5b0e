//! A change in the queue of the writer, and its result.

use std::sync::Weak;

use redb::Database;
use tokio::sync::oneshot;

use super::change::Change;
use super::error::StoreError;
use super::tx::WriteTx;
use super::writer::Writer;

/// The result of a job's own code, before the commit.
pub(super) enum Step {
    /// It made its change.
    Done,
    /// It refused, with a result of its own.
    Refused,
}

/// A change that waits for the writer. It may run more than once; only the last run counts.
pub(super) trait Job: Send {
    fn change(&self) -> &Change;
    fn run(&mut self, tx: &WriteTx<'_>) -> Step;
    /// Sends the result of the last run, or the store's error, to the caller.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

pub(super) enum Message {
    Job(Box<dyn Job>),
    /// A reader met an I/O error in this database.
    Broken(Weak<Database>),
    /// Work on the writer itself, between two commits.
    Call(Box<dyn FnOnce(&mut Writer) + Send>),
    Stop,
}

/// A change and the channel of its caller.
pub(super) struct TypedJob<T, E, F> {
    pub(super) change: Change,
    pub(super) run: F,
    pub(super) result: Option<Result<T, E>>,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for TypedJob<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: Fn(&WriteTx<'_>) -> Result<T, E> + Send,
{
    fn change(&self) -> &Change {
        &self.change
    }

    fn run(&mut self, tx: &WriteTx<'_>) -> Step {
        let result = (self.run)(tx);
        let step = if result.is_ok() { Step::Done } else { Step::Refused };
        self.result = Some(result);
        step
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { run, result, reply, .. } = *self;
        let answer = match outcome {
            Ok(()) => result.unwrap_or_else(|| Err(StoreError::Failed.into())),
            Err(error) => Err(error.into()),
        };
        // A lock that `run` owns is released here, after the commit and before the caller acts on the result.
        drop(run);
        // The receiver is gone if the client disconnected; the change was made all the same.
        let _ = reply.send(answer);
    }
}
