//! `POST` of HTTP/1.0 without a length: it has no body (RFC 9112, section 6.3). The web framework refuses it,
//! by the older RFC 1945. nginx uses HTTP/1.0 to its upstreams by default, and omits a length of 0.

use tokio::io::ReadBuf;

const POST: &[u8] = b"POST ";
const OLD: &[u8] = b" HTTP/1.0";
const NO_BODY: &[u8] = b"Content-Length: 0\r\n";

/// The first bytes of a head, until it is clear whether it needs a length.
#[derive(Default)]
pub(super) struct OldPost {
    held: Vec<u8>,
    /// Bytes that may be passed on.
    ready: usize,
}

impl OldPost {
    /// Takes received bytes out of `buffer`, from `from` on, if they must wait for more of the head.
    pub(super) fn take(&mut self, buffer: &mut ReadBuf<'_>, from: usize, is_new: bool) {
        let came = &buffer.filled()[from..];
        if self.held.is_empty() && !(is_new && may_be_old(came)) {
            return;
        }
        self.held.extend_from_slice(came);
        buffer.set_filled(from);
        while self.is_holding() {
            let head = &self.held[self.ready..];
            if !may_be_old(head) {
                self.release();
            } else if let Some(end) = end_of_head(head) {
                self.pass_head(end);
            } else {
                break;
            }
        }
    }

    /// Whether bytes wait for more of the head.
    pub(super) const fn is_holding(&self) -> bool {
        self.ready < self.held.len()
    }

    /// Moves the bytes that may be passed on into `buffer`; false if there are none.
    pub(super) fn pass(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.ready == 0 {
            return false;
        }
        let bytes = self.ready.min(buffer.remaining());
        buffer.put_slice(&self.held[..bytes]);
        self.held.drain(..bytes);
        self.ready -= bytes;
        bytes > 0
    }

    /// Lets all bytes be passed on: the head is refused, or has become too large to be held.
    pub(super) const fn release(&mut self) {
        self.ready = self.held.len();
    }

    /// Passes on a head of this length, and adds `Content-Length: 0` if it says nothing of a body. After a
    /// head without a body follows another head; after any other one, all bytes are passed on unchanged.
    fn pass_head(&mut self, length: usize) {
        let start = self.ready;
        let mut lines = self.held[start..start + length].split(|byte| *byte == b'\n');
        let after = lines.next().map_or(0, <[u8]>::len) + 1;
        let names: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
        let is_named = |line: &[u8]| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
            names.iter().any(|known| name.eq_ignore_ascii_case(known))
        };
        if lines.any(is_named) {
            self.release();
        } else {
            self.held.splice(start + after..start + after, NO_BODY.iter().copied());
            self.ready = start + length + NO_BODY.len();
        }
    }
}

/// The length of the head with which these bytes begin: an empty line ends it. A line may end with a bare LF
/// (RFC 9112, section 2.2), as the web framework accepts it.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut lines = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        lines += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return Some(lines);
        }
    }
    None
}

/// Whether the first line is, or may become, that of a `POST` of HTTP/1.0.
fn may_be_old(head: &[u8]) -> bool {
    let known = head.len().min(POST.len());
    head[..known] == POST[..known]
        && head
            .iter()
            .position(|byte| *byte == b'\n')
            .is_none_or(|end| head[..end].trim_ascii_end().ends_with(OLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the web framework gets of these pieces.
    fn passed(pieces: &[&str]) -> String {
        let mut post = OldPost::default();
        let mut seen = String::new();
        for (number, piece) in pieces.iter().enumerate() {
            let mut room = [0; 4096];
            let mut buffer = ReadBuf::new(&mut room);
            buffer.put_slice(piece.as_bytes());
            post.take(&mut buffer, 0, number == 0);
            while post.pass(&mut buffer) {}
            seen.push_str(str::from_utf8(buffer.filled()).unwrap());
        }
        seen
    }

    #[test]
    fn an_old_post_without_a_length_has_no_body() {
        let wanted = "POST /v2/ HTTP/1.0\r\nContent-Length: 0\r\nHost: x\r\n\r\n";
        assert_eq!(passed(&["POST /v2/ HTTP/1.0\r\nHost: x\r\n\r\n"]), wanted);
        assert_eq!(passed(&["P", "OST /v2/ HT", "TP/1.0\r", "\nHost: x\r\n", "\r\n"]), wanted);
    }

    #[test]
    fn lines_may_end_with_a_bare_lf() {
        for (request, wanted) in [
            ("POST / HTTP/1.0\nHost: x\n\n", "POST / HTTP/1.0\nContent-Length: 0\r\nHost: x\n\n"),
            ("POST / HTTP/1.0\r\nHost: x\n\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\nHost: x\n\n"),
            ("POST / HTTP/1.0\nHost: x\n\r\n", "POST / HTTP/1.0\nContent-Length: 0\r\nHost: x\n\r\n"),
            ("POST / HTTP/1.0\n\n", "POST / HTTP/1.0\nContent-Length: 0\r\n\n"),
        ] {
            assert_eq!(passed(&[request]), wanted);
            let pieces: Vec<_> = request.split_inclusive(|_| true).collect();
            assert_eq!(passed(&pieces), wanted);
        }
    }

    #[test]
    fn posts_that_are_sent_ahead_have_no_body_either() {
        let (post, wanted) = ("POST / HTTP/1.0\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
        let get = "GET / HTTP/1.1\r\n\r\n";
        assert_eq!(passed(&[&[post, post, get].concat()]), [wanted, wanted, get].concat());
        assert_eq!(passed(&[&[post, "PO"].concat(), &post[2..]]), [wanted, wanted].concat());
        // After a head with a body, the bytes are not known to be a head.
        let long = "POST / HTTP/1.0\r\nContent-Length: 21\r\n\r\n";
        assert_eq!(passed(&[&[post, long, post].concat()]), [wanted, long, post].concat());
    }

    #[test]
    fn every_other_request_goes_on_as_it_came() {
        for request in [
            "POST /v2/ HTTP/1.0\r\nHost: x\r\ncontent-LENGTH: 2\r\n\r\nab",
            "POST /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /v2/ HTTP/1.0\nContent-Length : 2\n\nab",
            "POST /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v2/ HTTP/1.0\r\nHost: x\r\n\r\n",
            "PUT /v2/ HTTP/1.0\r\nHost: x\r\n\r\n",
        ] {
            assert_eq!(passed(&[request]), request);
            let pieces: Vec<_> = request.split_inclusive(|_| true).collect();
            assert_eq!(passed(&pieces), request);
        }
    }
}
