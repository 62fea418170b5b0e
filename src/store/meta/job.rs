//! A change on its way to the writer and back.

use std::sync::Weak;

use redb::Database;
use tokio::sync::oneshot;

use super::error::StoreError;
use super::tx::WriteTx;
use crate::store::blob::Shard;

/// What became of a job's own part, before the commit.
pub(super) enum Step {
    /// It did what it wanted.
    Done,
    /// It refused, with an answer of its own.
    Refused,
}

/// A change that waits for the writer. It may run more than once; only the last run counts.
pub(super) trait Job: Send {
    fn shards(&self) -> &[Shard];
    fn bytes(&self) -> usize;
    /// Whether it takes something away, and so may use the room that is kept back.
    fn may_use_reserve(&self) -> bool;
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
    pub(super) shards: Vec<Shard>,
    pub(super) bytes: usize,
    pub(super) may_use_reserve: bool,
    pub(super) change: F,
    pub(super) result: Option<Result<T, E>>,
    pub(super) reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for TypedJob<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: Fn(&WriteTx<'_>) -> Result<T, E> + Send,
{
    fn shards(&self) -> &[Shard] {
        &self.shards
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn may_use_reserve(&self) -> bool {
        self.may_use_reserve
    }

    fn run(&mut self, tx: &WriteTx<'_>) -> Step {
        let result = (self.change)(tx);
        let step = if result.is_ok() { Step::Done } else { Step::Refused };
        self.result = Some(result);
        step
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { change, result, reply, .. } = *self;
        let answer = match outcome {
            Ok(()) => result.unwrap_or_else(|| Err(StoreError::Failed.into())),
            Err(error) => Err(error.into()),
        };
        // The lock that `change` may own ends here, after the commit and before the caller acts on the answer.
        drop(change);
        // No caller waits when the client has gone; the change stands all the same.
        let _ = reply.send(answer);
    }
}
