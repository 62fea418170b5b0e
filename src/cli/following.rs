//! Following a job of the server that this command waits for.

use serde::de::IgnoredAny;

use super::client::{Api, Received};
use super::errors::Failure;
use super::interrupt::Interrupt;
use super::progress::Display;
use crate::wire::{Job, Progress};

/// Shows how far the job is, and waits up to a second for its end.
pub(super) fn step(api: &Api, job: &Job, display: &mut Display) -> Result<Received<Job>, Failure> {
    let Progress { stage, done, total, bytes } = &job.progress;
    display.show(stage, *done, *total, *bytes);
    api.get(&format!("/api/v1/jobs/{}?wait=1s", job.id))
}

/// Cancels the job that this command has started when a signal asks for it.
pub(super) struct Cancelling {
    interrupt: Interrupt,
    is_sent: bool,
}

impl Cancelling {
    /// Must be made before the job starts: a signal after that would leave it to the server.
    pub(super) fn catch(ending: &'static str) -> Self {
        Self { interrupt: Interrupt::catch(ending), is_sent: false }
    }

    /// Cancels the job once, if a signal has come.
    pub(super) fn send(&mut self, api: &Api, job: &Job) -> Result<(), Failure> {
        if self.interrupt.is_wanted() && !self.is_sent {
            api.post::<IgnoredAny>(&format!("/api/v1/jobs/{}/cancel", job.id), &())?;
            self.is_sent = true;
        }
        Ok(())
    }

    pub(super) const fn is_sent(&self) -> bool {
        self.is_sent
    }
}
