//! Following a job of the server that this command waits for.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::client::{Api, Received};
use super::context::Context;
use super::errors::{Exit, Failure};
use super::interrupt::Interrupt;
use super::progress::Display;
use crate::wire::{Job, Progress};

/// A job that a command starts: what it posts, and the words for the job.
pub(super) struct Starting<'a, B> {
    pub(super) path: &'static str,
    pub(super) body: &'a B,
    /// The job in a sentence, such as "the scrub".
    pub(super) name: &'static str,
    /// What the first signal says while the command waits.
    pub(super) ending: &'static str,
}

impl<B: Serialize> Starting<'_, B> {
    /// Starts the job, and leaves it to the server.
    pub(super) fn begin(&self, api: &Api, context: &Context) -> Result<Exit, Failure> {
        let job = self.post(api)?;
        let text = format!("{} has begun; follow it: stowage jobs watch {}", self.name, job.id);
        context.say(&json!(job), &text)?;
        Ok(Exit::Done)
    }

    /// Starts the job, and waits for its end.
    pub(super) fn wait(&self, api: &Api, context: &Context) -> Result<Received<Job>, Failure> {
        let mut cancelling = Cancelling::catch(self.ending);
        let (mut job, mut display) = (self.post(api)?, Display::new(context.format(), false));
        while job.is_under_way() {
            cancelling.send(api, &job)?;
            job = step(api, &job, &mut display)?;
        }
        Ok(job)
    }

    fn post(&self, api: &Api) -> Result<Received<Job>, Failure> {
        api.post(self.path, self.body)
    }
}

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
