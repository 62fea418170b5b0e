//! A server that is not Stowage, or that sends responses which Stowage never sends.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::admin::program::Place;

/// Answers each connection with the result of `answer` for the first line of its request; returns the
/// server's URL.
pub(crate) fn server(place: &Place, mut answer: impl FnMut(&str) -> String + Send + 'static) -> String {
    let path = place.directory.path().join("fake.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            // One read gets the whole request, which is short.
            let read = stream.read(&mut request).unwrap();
            let head = String::from_utf8_lossy(&request[..read]);
            let answer = answer(head.lines().next().unwrap_or_default());
            // A command that was killed does not read the response.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("unix:{}", path.display())
}

/// A response with a JSON document.
pub(crate) fn json(status: u16, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
