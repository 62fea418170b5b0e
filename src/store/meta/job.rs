//! A change on its way to the writer and back.

use std::sync::Weak;

use redb::Database;
use tokio::sync::oneshot;

use super::change::Change;
use super::error::StoreError;
use super::tx::WriteTx;

/// What became of a job's own part, before the commit.
pub(super) enum Step {
    /// It did what it wanted.
    Done,
    /// It refused, with an answer of its own.
    Refused,
}

/// A change that waits for the writer. It may run more than once; only the last run counts.
pub(super) trait Job: Send {
    fn change(&self) -> &Change;
    fn run(&mut self, tx: &WriteTx<'_>) -> Step;
    /// Hands over the result of the last run, or the store's error.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

pub(super) enum Message {
    Job(Box<dyn Job>),
    /// A reader met an I/O error in this database.
    Broken(Weak<Database>),
    Stop,
}

/// A change and the one who waits for it.
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
        // The lock that `run` may own ends here, after the commit and before the caller acts on the answer.
        drop(run);
        // No caller waits when the client has gone; the change stands all the same.
        let _ = reply.send(answer);
    }
}
