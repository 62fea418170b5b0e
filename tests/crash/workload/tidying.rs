//! The client that collects garbage, empties the trash and scrubs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use stowage::wire::{Job, JobState};

use super::Client;
use crate::quiescence::everything;

/// The longest pause between two jobs, in microseconds.
const PAUSE_US: u64 = 30_000;
/// How often the last job is tried.
const TRIES: u32 = 100;
/// The time between two looks whether a job has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A run that does not look at manifests, which takes most of its time.
fn quick() -> Value {
    json!({ "now": true })
}

/// A run that frees what can be freed, with every manifest that no tag leads to.
fn now() -> Value {
    json!({ "now": true, "untagged": "0s" })
}

impl Client<'_> {
    /// Runs one job after the other until the server is gone. The first one frees what can be freed.
    pub(crate) fn tidy(mut self) {
        self.collect(&quick());
        while !self.load.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_micros(self.dice.below(PAUSE_US)));
            if !self.must_pause() {
                self.run_a_job();
            }
        }
    }

    /// Empties the trash, or collects garbage, while all others pause. So no sync of another client's request
    /// can hide that the server did not sync for this run.
    pub(crate) fn last_collection(mut self) {
        let empties = self.dice.below(4) > 0;
        // The job of before was cancelled, and works on its last slice.
        let has_ended = || {
            if empties {
                self.empty_trash(&json!({ "empty_trash": true }), || false)
            } else {
                self.run_to_its_end("gc", &quick(), || false).map(drop)
            }
        };
        for _ in 0..TRIES {
            if has_ended().is_some() {
                break;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn run_a_job(&mut self) -> Option<()> {
        match self.dice.below(10) {
            0 | 1 => self.collect(&quick()),
            2 | 3 => self.collect(&now()),
            4 => self.collect(&json!({})),
            // It goes no further than its next slice.
            5 => self.run_to_its_end("gc", &now(), || true).map(drop),
            6 => self.empty_trash(&json!({ "empty_trash": true }), || self.must_pause()),
            7 => self.empty_trash(&everything(), || self.must_pause()),
            8 => self.scrub(&json!({})),
            _ => self.scrub(&json!({ "full": true })),
        }
    }

    fn collect(&self, run: &Value) -> Option<()> {
        self.run_to_its_end("gc", run, || self.must_pause()).map(drop)
    }

    fn must_pause(&self) -> bool {
        self.load.quiet.load(Ordering::SeqCst)
    }

    /// Empties the trash. What is deleted while the run works may be emptied or not.
    fn empty_trash(&self, run: &Value, is_enough: impl Fn() -> bool) -> Option<()> {
        let ticket = {
            let mut ledger = self.ledger();
            ledger.emptying = true;
            let trashed = ledger.trashed();
            ledger.begin_in(trashed.into_iter().map(|place| (place, None)).collect())
        };
        let job = self.run_to_its_end("gc", run, is_enough);
        let is_over = self.load.over.load(Ordering::SeqCst);
        let mut ledger = self.ledger();
        match &job {
            Some(job) if job.state == JobState::Done && job.problems == 0 => ledger.acknowledge(&ticket),
            None if is_over => return None,
            _ => ledger.end(&ticket),
        }
        ledger.emptying = false;
        job.map(drop)
    }

    fn scrub(&self, run: &Value) -> Option<()> {
        self.run_to_its_end("scrub", run, || self.must_pause()).map(drop)
    }

    /// Starts a job and waits for its end; cancels it when `is_enough`. Unless the disk may have failed, it
    /// must have found nothing wrong.
    fn run_to_its_end(&self, what: &str, run: &Value, is_enough: impl Fn() -> bool) -> Option<Job> {
        let path = format!("/api/v1/{what}/runs");
        // The server may have started one of its own.
        let answer = self.administer("POST", &path, &run.to_string(), &[202, 409])?;
        if answer.status == 409 {
            return None;
        }
        let read = |body: &[u8]| -> Job { serde_json::from_slice(body).expect("a job") };
        let mut job = read(&answer.body);
        let (path, mut was_cancelled) = (format!("/api/v1/jobs/{}", job.id), false);
        while job.is_under_way() {
            if !was_cancelled && is_enough() {
                self.administer("POST", &format!("{path}/cancel"), "", &[202])?;
                was_cancelled = true;
            }
            std::thread::sleep(LOOK);
            job = read(&self.administer("GET", &path, "", &[200])?.body);
        }
        let is_good = job.state == JobState::Done || was_cancelled && job.state == JobState::Cancelled;
        let is_right = is_good && job.problems == 0;
        assert!(is_right || self.load.trouble.load(Ordering::SeqCst), "{job:?}, with nothing to hinder it");
        self.ledger().done.note(&job);
        Some(job)
    }
}
