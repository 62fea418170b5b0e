//! Request bodies on their way to the registry.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::error::{ApiError, Code};
use super::route::header;
use crate::registry::{Body, BodyPart, RegistryError};

/// Up to this many announced bytes a body is collected before the registry sees it.
const COLLECT: u64 = 1 << 20;
/// Bytes that are handed over at once: fewer cost a change of threads each.
const BATCH: usize = 256 << 10;

/// The announced length of a body.
pub(crate) fn content_length(request: &HttpRequest) -> Option<u64> {
    header(request, &CONTENT_LENGTH)?.parse().ok()
}

/// Feeds the body of a request to `work`, and returns what `work` makes of it. `idle` is how long the client may say
/// nothing. Work that ends early leaves the rest of the body unread; the connection is then closed after the answer.
pub(crate) async fn feed<T, F>(
    request: &HttpRequest,
    payload: Payload,
    idle: Duration,
    work: impl FnOnce(Body) -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let (sender, receiver) = mpsc::channel(1);
    if content_length(request).is_some_and(|length| length <= COLLECT) {
        let (chunks, complete) = collect(payload, idle).await;
        if complete {
            return work(Body::Whole(chunks)).await;
        }
        // What came before the cut is kept; the stream ends without its end.
        if sender.send(BodyPart::Data(chunks)).await.is_ok() {
            drop(sender);
        }
        return work(Body::Stream(receiver)).await;
    }
    let mut work = pin!(work(Body::Stream(receiver)));
    let pump = pin!(pump(payload, idle, sender));
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = pump => {}
    }
    work.await
}

async fn collect(mut payload: Payload, idle: Duration) -> (Vec<Bytes>, bool) {
    let mut chunks = Vec::new();
    loop {
        match tokio::time::timeout(idle, payload.next()).await {
            Ok(Some(Ok(chunk))) => chunks.push(chunk),
            Ok(None) => return (chunks, true),
            Ok(Some(Err(_))) | Err(_) => return (chunks, false),
        }
    }
}

async fn pump(mut payload: Payload, idle: Duration, sender: mpsc::Sender<BodyPart>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    loop {
        let next = tokio::time::timeout(idle, payload.next()).await;
        let complete = matches!(next, Ok(None));
        if let Ok(Some(Ok(chunk))) = next {
            bytes += chunk.len();
            batch.push(chunk);
            if bytes < BATCH {
                continue;
            }
            bytes = 0;
            if sender.send(BodyPart::Data(std::mem::take(&mut batch))).await.is_err() {
                return;
            }
            continue;
        }
        // Nobody listens any more when the work has failed; its answer says why.
        if !batch.is_empty() && sender.send(BodyPart::Data(batch)).await.is_err() {
            return;
        }
        if complete {
            let _ = sender.send(BodyPart::End).await;
        }
        return;
    }
}

/// A body of at most `limit` bytes in one piece. More is refused with 413 before it is read.
pub(crate) async fn whole(
    request: &HttpRequest,
    mut payload: Payload,
    idle: Duration,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let announced = content_length(request);
    let too_large = || {
        let message = format!(
            "the manifest is larger than {limit} bytes, the most that clients read; move data into blobs"
        );
        ApiError::new(Code::ManifestInvalid, message).status(actix_web::http::StatusCode::PAYLOAD_TOO_LARGE)
    };
    if announced.is_some_and(|announced| announced > limit as u64) {
        return Err(too_large());
    }
    // Grown bit by bit it would need twice the memory that was set apart for it.
    let mut body =
        BytesMut::with_capacity(announced.map_or(0, |announced| usize::try_from(announced).unwrap_or(limit)));
    loop {
        match tokio::time::timeout(idle, payload.next()).await {
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() <= limit => body.extend_from_slice(&chunk),
            Ok(Some(Ok(_))) => return Err(too_large()),
            Ok(Some(Err(_))) | Err(_) => {
                let message = "the connection broke before the whole body had come; send it again";
                return Err(ApiError::new(Code::SizeInvalid, message));
            }
        }
    }
}
