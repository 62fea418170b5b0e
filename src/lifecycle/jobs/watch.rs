//! What happens to a job, one event after the other, until its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::live::Told;
use super::run::Run;
use super::view::{JobLine, JobProgress, JobView};

/// The time between two looks at a job: it may say a thousand times a second how far it is.
const PACE: Duration = Duration::from_millis(200);
/// How long a server that stops waits for the end of the job before the last event.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// It is so far.
    Progress(JobProgress),
    /// It said this.
    Log(JobLine),
    /// It has ended like this.
    End(Box<JobView>),
}

/// The events of a job: what it has said so far, and then what it does.
pub struct Watch {
    queue: VecDeque<JobEvent>,
    following: Option<Following>,
}

/// A job of this server.
struct Following {
    run: Arc<Run>,
    told: watch::Receiver<Told>,
    stopping: watch::Receiver<bool>,
    /// Lines that were looked at, and the last of them: it may change when there are too many.
    lines: usize,
    last: Option<JobLine>,
    progress: JobProgress,
    /// When the job was looked at.
    looked: Option<Instant>,
}

impl Watch {
    /// Follows a job of this server. `stopping` becomes true when the server stops.
    pub(super) fn follow(run: Arc<Run>, stopping: watch::Receiver<bool>) -> Self {
        let (told, progress) = (run.live.follow(), run.progress());
        let queue = VecDeque::from([JobEvent::Progress(progress.clone())]);
        let following = Following { run, told, stopping, lines: 0, last: None, progress, looked: None };
        Self { queue, following: Some(following) }
    }

    /// Tells of a job that has ended.
    pub(super) fn ended(job: JobView, lines: Vec<JobLine>) -> Self {
        let lines = lines.into_iter().map(JobEvent::Log);
        Self { queue: lines.chain([JobEvent::End(Box::new(job))]).collect(), following: None }
    }

    /// The next event; `None` behind the end of the job, and when the server stops. A call that is dropped
    /// loses no event.
    pub async fn next(&mut self) -> Option<JobEvent> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            let following = self.following.as_mut()?;
            let goes_on = following.changed().await;
            self.queue.extend(following.look());
            if !goes_on || matches!(self.queue.back(), Some(JobEvent::End(_))) {
                self.following = None;
            }
        }
    }
}

/// Waits until the value is so. The value is not kept, because its sender would wait.
async fn until<T>(value: &mut watch::Receiver<T>, is_so: impl FnMut(&T) -> bool) {
    // Without a sender it stays as it is.
    let _ = value.wait_for(is_so).await;
}

impl Following {
    /// Waits until there is something to look at. It returns false when the server stops and the job does not
    /// end.
    async fn changed(&mut self) -> bool {
        // The first look is at what was before.
        let Some(looked) = self.looked else { return true };
        sleep_until(looked + PACE).await;
        tokio::select! {
            changed = self.told.changed() => changed.is_ok(),
            () = until(&mut self.stopping, |stops| *stops) => {
                timeout(LAST_WAIT, until(&mut self.told, |told| told.ended.is_some())).await.is_ok()
            }
        }
    }

    /// What has happened since the last look.
    fn look(&mut self) -> Vec<JobEvent> {
        self.looked = Some(Instant::now());
        // Read first: what a job said before its end is in the lines below.
        let has_ended = self.told.borrow_and_update().ended.is_some();
        let lines = self.run.live.lines();
        let mut events: Vec<JobEvent> = lines.iter().skip(self.lines).cloned().map(JobEvent::Log).collect();
        if events.is_empty() && has_ended && lines.last() != self.last.as_ref() {
            events.extend(lines.last().cloned().map(JobEvent::Log));
        }
        self.lines = lines.len();
        self.last = lines.last().cloned();
        let progress = self.run.progress();
        if progress != self.progress {
            events.push(JobEvent::Progress(progress.clone()));
            self.progress = progress;
        }
        if has_ended {
            events.push(JobEvent::End(Box::new(self.run.view())));
        }
        events
    }
}
