//! The body of a request as the web framework delivers it. It tells the connection's guard how far to read
//! ahead.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, Payload};
use futures_util::Stream as _;

use crate::http::requests::{Requests, WINDOW};

/// A body that is being received. The connection's guard reads ahead only as far as the window permits.
pub(super) struct Incoming {
    payload: Payload,
    requests: Option<Requests>,
}

impl Incoming {
    pub(super) fn new(request: &HttpRequest, payload: Payload) -> Self {
        Self { payload, requests: request.conn_data::<Requests>().cloned() }
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, PayloadError>> {
        if let Some(requests) = &self.requests {
            requests.want_body();
        }
        poll_fn(|context| {
            let polled = Pin::new(&mut self.payload).poll_next(context);
            if let (Poll::Pending, Some(requests)) = (&polled, &self.requests) {
                requests.taken();
            }
            polled
        })
        .await
    }

    /// Back-pressure: the guard reads nothing while the handler takes nothing, so that a waiting body keeps
    /// only what it has received.
    pub(super) fn pause(&self) {
        self.set_window(0);
    }

    /// Makes the connection end with the response, without waiting for the rest of the body.
    pub(super) fn turn_away(&self) {
        if let Some(requests) = &self.requests {
            requests.turn_away();
        }
    }

    /// Continues after [`Incoming::pause`].
    pub(super) fn resume(&self) {
        self.set_window(WINDOW);
    }

    /// Permits to read up to `bytes` ahead.
    pub(super) fn set_window(&self, bytes: usize) {
        if let Some(requests) = &self.requests {
            requests.set_window(bytes);
        }
    }
}
