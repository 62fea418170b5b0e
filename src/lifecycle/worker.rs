//! Work that a server repeats by itself. A worker writes no row about itself: an idle server writes nothing.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;

/// A piece of work that is repeated for as long as the runtime is there.
pub trait Worker: Send + Sync + 'static {
    /// How long it waits before each step.
    fn pause(&self) -> Duration;

    /// Ends when the next step is due: after [`Worker::pause`], unless something makes it due before.
    fn due(&self) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(self.pause())
    }

    /// Does the work once. What fails is logged, and tried again by the next step.
    fn step(&self) -> impl Future<Output = ()> + Send;
}

/// Repeats the work of `worker` on `runtime`, one step after the other.
pub(super) fn start(runtime: &Handle, worker: impl Worker) {
    runtime.spawn(async move {
        loop {
            worker.due().await;
            worker.step().await;
        }
    });
}
