//! The response body of a large manifest: sent piece by piece, so that slow clients take little memory.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

use crate::access::{Grant, Pull};
use crate::app::App;
use crate::model::digest::Digest;
use crate::registry::{ManifestContent, RegistryError};

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, RegistryError>>>>;

/// A manifest whose first bytes were read.
pub(crate) struct ManifestBody {
    app: Arc<App>,
    grant: Grant<Pull>,
    digest: Digest,
    size: u64,
    first: Bytes,
    sent: usize,
    reading: Option<Reading>,
}

impl ManifestBody {
    /// The body of this manifest.
    pub(crate) fn new(app: Arc<App>, grant: Grant<Pull>, manifest: ManifestContent) -> Self {
        let ManifestContent { head, body } = manifest;
        Self { app, grant, digest: head.digest, size: head.size, first: body, sent: 0, reading: None }
    }
}

impl MessageBody for ManifestBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            let first = std::mem::take(&mut this.first);
            this.sent = first.len();
            return Poll::Ready(Some(Ok(first)));
        }
        if this.sent as u64 >= this.size {
            return Poll::Ready(None);
        }
        let reading = this.reading.get_or_insert_with(|| {
            Box::pin(this.app.registry.manifest_piece(&this.grant, this.digest, this.sent))
        });
        let read = ready!(reading.as_mut().poll(context)).map_err(io::Error::other);
        this.reading = None;
        match read {
            Ok(piece) if piece.is_empty() => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            Ok(piece) => {
                this.sent += piece.len();
                Poll::Ready(Some(Ok(piece)))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}
