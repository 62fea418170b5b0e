//! `POST` of HTTP/1.0 without a length: it has no body (RFC 9112, section 6.3). The web framework refuses it,
//! after the older RFC 1945. nginx speaks HTTP/1.0 to its upstreams unless it is told otherwise, and leaves a
//! length of 0 out.

use tokio::io::ReadBuf;

const POST: &[u8] = b"POST ";
const OLD: &[u8] = b" HTTP/1.0";
const NO_BODY: &[u8] = b"Content-Length: 0\r\n";

/// The first bytes of a head, while it is not clear whether it needs a length.
#[derive(Default)]
pub(super) struct OldPost {
    held: Vec<u8>,
    /// Bytes that may go on.
    ready: usize,
}

impl OldPost {
    /// Takes bytes that came, out of `buffer` from `from` on, when they have to wait for more of the head.
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

    /// Puts what may go on into `buffer`; false: there is nothing.
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

    /// Gives all of it up: the head is refused, or has become too large.
    pub(super) const fn release(&mut self) {
        self.ready = self.held.len();
    }

    /// Lets a head of so many bytes go on, and says that there is no body where it says nothing. What follows
    /// a head without a body is another head; behind any other one, all goes on as it came.
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

/// How many bytes the head has that these begin with: an empty line ends it. A line may end with a bare LF
/// (RFC 9112, section 2.2), as the web framework reads it.
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

    /// What the web framework sees of these pieces.
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
        // Behind a body of its own, nothing is known to be a head.
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
