//! Work that a server repeats. A worker has no rows: an idle server writes nothing.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;

/// Work that is repeated as long as the runtime exists.
pub trait Worker: Send + Sync + 'static {
    /// The time between two steps.
    fn pause(&self) -> Duration;

    /// Ends when the next step is due: after [`Worker::pause`], or earlier if there is a reason.
    fn due(&self) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(self.pause())
    }

    /// Does the work once. An error is logged, and the next step tries again.
    fn step(&self) -> impl Future<Output = ()> + Send;
}

/// Runs `worker` on `runtime`, one step after the other.
pub(super) fn start(runtime: &Handle, worker: impl Worker) {
    runtime.spawn(async move {
        loop {
            worker.due().await;
            worker.step().await;
        }
    });
}
