//! The response with a list: in one piece if it is short, otherwise piece by piece, so that slow clients take
//! little memory.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::{ConnectionType, Method, Version};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::registry::{ListPiece, Listing, RegistryError};

type Reading<Left> = Pin<Box<dyn Future<Output = Result<ListPiece<Left>, RegistryError>>>>;

/// The JSON around the entries.
pub(crate) struct Frame {
    /// The JSON before the first entry.
    pub(crate) opening: String,
    /// The JSON after the last one.
    pub(crate) end: &'static str,
}

/// The response with the entries of `page`; `more` reads the rest of it.
pub(crate) fn answer<Left, Read, Piece>(
    request: &HttpRequest,
    mut response: HttpResponseBuilder,
    frame: Frame,
    page: Listing<Left>,
    more: Read,
) -> HttpResponse
where
    Left: 'static,
    Read: Fn(Left) -> Piece + 'static,
    Piece: Future<Output = Result<ListPiece<Left>, RegistryError>> + 'static,
{
    let Frame { opening, end } = frame;
    let mut first = opening.into_bytes();
    first.extend_from_slice(&page.first);
    if page.left.is_none() {
        first.extend_from_slice(end.as_bytes());
        return response.body(first);
    }
    let is_head = request.method() == Method::HEAD;
    let body = ListBody {
        // A response without a body reads nothing more.
        first: if is_head { Bytes::new() } else { Bytes::from(first) },
        left: page.left.filter(|_| !is_head),
        end: if is_head { "" } else { end },
        more: Box::new(move |left| Box::pin(more(left))),
        reading: None,
    };
    let mut response = response.body(body);
    if request.version() < Version::HTTP_11 {
        // HTTP/1.0 has no chunked encoding: the end of the connection ends the list.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

struct ListBody<Left> {
    first: Bytes,
    left: Option<Left>,
    end: &'static str,
    more: Box<dyn Fn(Left) -> Reading<Left>>,
    reading: Option<Reading<Left>>,
}

impl<Left> Unpin for ListBody<Left> {}

impl<Left: 'static> MessageBody for ListBody<Left> {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.first))));
        }
        if let Some(left) = this.left.take() {
            this.reading = Some((this.more)(left));
        }
        if let Some(reading) = &mut this.reading {
            let read = ready!(reading.as_mut().poll(context));
            this.reading = None;
            let piece = match read {
                Ok(piece) => piece,
                // The response is cut off, so that the client notices: a proper end would be wrong.
                Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            };
            this.left = piece.left;
            // An empty chunk would end the body.
            if !piece.json.is_empty() {
                return Poll::Ready(Some(Ok(piece.json)));
            }
            if this.left.is_some() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let end = std::mem::take(&mut this.end);
        Poll::Ready((!end.is_empty()).then(|| Ok(Bytes::from_static(end.as_bytes()))))
    }
}
