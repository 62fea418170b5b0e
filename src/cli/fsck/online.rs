//! A check by the server that runs: a job of its own there.

use serde_json::{Value, json};

use crate::cli::client::Api;
use crate::cli::errors::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::progress::Display;

/// Starts the job, shows how far it is, and returns what it has found. Ctrl-C ends it.
pub(super) fn check(api: &Api, deep: bool, display: &mut Display) -> Result<Value, Failure> {
    let mut job = api.post("/api/v1/checks", &json!({"deep": deep}))?;
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap_or_default());
    let interrupt = Interrupt::catch("ending the check; once more to leave it to the server");
    let mut cancelled = false;
    while job["state"] == "running" {
        if interrupt.is_wanted() && !cancelled {
            api.post(&format!("{path}/cancel"), &Value::Null)?;
            cancelled = true;
        }
        let progress = &job["progress"];
        let count = |name: &str| progress[name].as_u64().unwrap_or_default();
        let stage = progress["stage"].as_str().unwrap_or_default();
        display.show(stage, count("done"), count("total"), count("bytes"));
        job = api.get(&format!("{path}?wait=1s")).map_err(gone)?;
    }
    if cancelled {
        return Err(Failure::new(
            Exit::Interrupted,
            "INTERRUPTED",
            "the check was cancelled; it changes nothing",
        ));
    }
    match job["state"].as_str() {
        Some("done") => Ok(job["result"].take()),
        Some("cancelled") => Err(ended()),
        _ => Err(Failure::new(Exit::Failed, "CHECK_FAILED", "the check failed")
            .because(job["error"].as_str().unwrap_or("the server does not say why"))
            .fix("stop the server and run it again")),
    }
}

/// A server that is gone, or another one that does not know the job, means that the first one has stopped.
fn gone(failure: Failure) -> Failure {
    if matches!(failure.exit, Exit::Unreachable | Exit::NotFound) { ended() } else { failure }
}

fn ended() -> Failure {
    Failure::new(
        Exit::Failed,
        "CHECK_ENDED",
        "the check was cancelled by another user, or because the server stopped",
    )
    .fix("run it again")
}
