//! A body as the web framework hands it out, with what the connection's guard has to know of it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, Payload};
use futures_util::Stream as _;

use crate::http::requests::{Requests, WINDOW};

/// A body that comes in. The guard of its connection reads only as far ahead as the window permits.
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

    /// Nothing is taken for some time, so nothing is read: a body that waits keeps what came, and no more.
    pub(super) fn pause(&self) {
        self.set_window(0);
    }

    /// The connection ends with the answer, without waiting for the rest of the body.
    pub(super) fn turn_away(&self) {
        if let Some(requests) = &self.requests {
            requests.turn_away();
        }
    }

    /// Goes on after [`Incoming::pause`].
    pub(super) fn resume(&self) {
        self.set_window(WINDOW);
    }

    /// Reads up to `bytes` ahead.
    pub(super) fn set_window(&self, bytes: usize) {
        if let Some(requests) = &self.requests {
            requests.set_window(bytes);
        }
    }
}
