//! Requests that are built before the measurement begins.

use crate::target::Common;

/// The media types of manifests that are requested.
pub(crate) const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*;q=0.5\r\n";

/// A request with a gap, which is filled with another text each time.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
    request: Vec<u8>,
}

impl Template {
    /// A request whose gap is the `{}` in its path or headers.
    pub(crate) fn new(method: &str, path: &str, common: &Common, headers: &str, body: &[u8]) -> Self {
        let head = head(method, path, common, headers);
        let (before, after) = head.split_once("{}").unwrap_or((&head, ""));
        Self { before: before.into(), after: [after.as_bytes(), body].concat(), request: Vec::new() }
    }

    /// The request with this text in its gap.
    pub(crate) fn fill(&mut self, text: &str) -> &[u8] {
        self.request.clear();
        self.request.extend_from_slice(&self.before);
        self.request.extend_from_slice(text.as_bytes());
        self.request.extend_from_slice(&self.after);
        &self.request
    }
}

/// The head of a request; `headers` are complete lines.
pub(crate) fn head(method: &str, path: &str, common: &Common, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{}{headers}\r\n", common.0)
}
