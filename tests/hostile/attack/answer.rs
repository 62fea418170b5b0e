//! The server's responses on a connection of a load.

/// The responses on a connection, as far as they were received.
#[derive(Default)]
pub(super) struct Answer {
    head: Vec<u8>,
    pub(super) status: u16,
    body: Rest,
}

/// The part of a response that is still missing.
#[derive(Default)]
enum Rest {
    #[default]
    Head,
    Bytes(u64),
    /// Chunks, up to the last one; with the last bytes received.
    Chunks(Vec<u8>),
    /// Everything up to the end of the connection.
    All,
}

impl Answer {
    /// Takes received bytes and returns the status of each complete response.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Vec<u16> {
        let mut whole = Vec::new();
        while !bytes.is_empty() {
            match &mut self.body {
                Rest::Head => {
                    self.head.push(bytes[0]);
                    bytes = &bytes[1..];
                    if self.head.ends_with(b"\r\n\r\n") {
                        self.begin();
                    }
                }
                Rest::Bytes(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                }
                Rest::Chunks(last) => {
                    last.push(bytes[0]);
                    bytes = &bytes[1..];
                    if last.ends_with(b"\r\n0\r\n\r\n") || *last == b"0\r\n\r\n" {
                        self.body = Rest::Bytes(0);
                    } else if last.len() > 64 {
                        last.drain(..32);
                    }
                }
                Rest::All => break,
            }
            if matches!(self.body, Rest::Bytes(0)) {
                whole.push(self.status);
                *self = Self::default();
            }
        }
        whole
    }

    /// Parses a complete head.
    fn begin(&mut self) {
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).to_ascii_lowercase();
        self.status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(999);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        self.body = match length.and_then(|length| length.trim().parse().ok()) {
            _ if self.status == 100 => Rest::Head,
            _ if matches!(self.status, 204 | 304) => Rest::Bytes(0),
            Some(length) => Rest::Bytes(length),
            None if head.contains("transfer-encoding: chunked") => Rest::Chunks(Vec::new()),
            None => Rest::All,
        };
    }

    /// The status of a response that the end of the connection completes or cuts off.
    pub(super) fn until_closed(self) -> Option<u16> {
        (!matches!(self.body, Rest::Head)).then_some(self.status)
    }
}
