//! What happens to a job, as server-sent events (WHATWG HTML, "Server-sent events"):
//! `/api/v1/jobs/{id}/events`

use std::convert::Infallible;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::time::timeout;

use super::NO_STORE;
use crate::lifecycle::{JobEvent, Watch};
use crate::limits::Charge;
use crate::wire::{Job, JobLine, Progress};

/// The type of a stream of events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// After so long without an event a comment is sent, which shows whether the client is there, and keeps
/// proxies from ending the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Asks nginx to send each event at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The events of a job until its end. `charge` counts the stream as long as it lasts.
pub(super) fn response(watch: Watch, charge: Charge) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(EVENT_STREAM)
        .insert_header((CACHE_CONTROL, NO_STORE))
        .insert_header((UNBUFFERED, HeaderValue::from_static("no")))
        .streaming(events(watch, charge))
}

fn events(watch: Watch, charge: Charge) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((watch, charge), |(mut watch, charge)| async move {
        let text = match timeout(KEEP_ALIVE, watch.next()).await {
            Ok(event) => text(event?),
            Err(_) => ":\n\n".to_owned(),
        };
        Some((Ok(Bytes::from(text)), (watch, charge)))
    })
}

fn text(event: JobEvent) -> String {
    match event {
        JobEvent::Progress(progress) => of("progress", &Progress::from(progress)),
        JobEvent::Log(line) => of("log", &JobLine::from(line)),
        JobEvent::End(job) => of("end", &Job::from(*job)),
    }
}

/// An event with data in one line.
fn of(name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).expect("it is plain data with names of text");
    format!("event: {name}\ndata: {data}\n\n")
}
