//! `Range` on blobs (RFC 9110 section 14).

use stowage::http::range::MAX_PARTS;

use crate::support::content::{bytes, push_blob, sha256};
use crate::support::{Client, Response, TestStowage};

/// A server with a blob, and the blob's path.
fn with_blob(content: &[u8]) -> (TestStowage, String) {
    let server = TestStowage::start();
    let path = format!("/v2/a/blobs/{}", push_blob(&server.client(), "a", content));
    (server, path)
}

fn ask(client: &Client, path: &str, range: &str) -> Response {
    client.send("GET", path, &[("Range", range)], b"")
}

#[test]
fn one_range_is_answered_with_its_bytes() {
    for size in [2048, 200_000] {
        let content = bytes(1, size);
        let (server, path) = with_blob(&content);
        let last = size - 1;
        for (range, start, end) in [
            ("bytes=500-1499".to_owned(), 500, 1499),
            ("bytes=500-".to_owned(), 500, last),
            ("bytes=-500".to_owned(), size - 500, last),
            (format!("bytes=2000-{}", size + 5000), 2000, last),
            ("bytes=0-0".to_owned(), 0, 0),
            (format!("bytes={last}-"), last, last),
            ("bytes=-1".to_owned(), last, last),
            (format!("bytes=-{}", size + 5000), 0, last),
            ("bytes=0-".to_owned(), 0, last),
            ("bytes=0-99999999999999999999999999".to_owned(), 0, last),
        ] {
            let part = ask(&server.client(), &path, &range).expect(206);
            assert_eq!(
                part.header("content-range"),
                Some(format!("bytes {start}-{end}/{size}").as_str()),
                "{range}"
            );
            assert_eq!(
                part.header("content-length"),
                Some((end - start + 1).to_string().as_str()),
                "{range}"
            );
            assert!(part.body == content[start..=end], "{range}");
            assert_eq!(part.header("content-type"), Some("application/octet-stream"));
            assert_eq!(part.header("docker-content-digest"), Some(sha256(&content).as_str()));
            assert_eq!(part.header("etag"), Some(format!("\"{}\"", sha256(&content)).as_str()));
        }
    }
}

#[test]
fn a_range_that_the_blob_has_nothing_of_is_416_with_its_own_length() {
    let (server, path) = with_blob(&bytes(1, 2048));
    for range in ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0", "bytes=2048-2048,9999-"] {
        let refused = ask(&server.client(), &path, range).expect_error(416, "RANGE_INVALID");
        assert_eq!(refused.header("content-range"), Some("bytes */2048"), "{range}");
        assert_eq!(refused.header("content-length"), Some(refused.body.len().to_string().as_str()));
    }
}

#[test]
fn any_range_of_the_empty_blob_is_416() {
    let (server, path) = with_blob(b"");
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        let refused = ask(&server.client(), &path, range).expect_error(416, "RANGE_INVALID");
        assert_eq!(refused.header("content-range"), Some("bytes */0"));
    }
}

#[test]
fn a_range_that_is_not_understood_is_ignored() {
    let content = bytes(1, 2048);
    let (server, path) = with_blob(&content);
    for range in [
        "items=0-1",
        "bytes=abc",
        "bytes=",
        "bytes=1",
        "bytes=-",
        "bytes 0-1",
        "0-1",
        "bytes=0-1,x",
        "bytes=,",
    ] {
        let whole = ask(&server.client(), &path, range).expect(200);
        assert!(whole.body == content, "{range}");
        assert_eq!(whole.header("content-range"), None);
    }
}

#[test]
fn head_ignores_a_range() {
    let (server, path) = with_blob(&bytes(1, 2048));
    for range in ["bytes=0-1", "bytes=5000-", "bytes=0-1,4-5"] {
        let head = server.client().send("HEAD", &path, &[("Range", range)], b"").expect(200);
        assert_eq!(head.header("content-length"), Some("2048"));
        assert_eq!(head.header("content-range"), None);
    }
}

/// The parts of a multipart answer: the headers and the bytes of each.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let content_type = response.header("content-type").expect("a type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut body = b"\r\n".to_vec();
    body.extend_from_slice(&response.body);
    let mut parts = Vec::new();
    let mut rest = &body[..];
    let find =
        |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|window| window == needle);
    assert_eq!(find(rest, &delimiter), Some(0), "it begins with a part");
    loop {
        rest = &rest[delimiter.len()..];
        if rest == b"--\r\n" {
            return parts;
        }
        let head = find(rest, b"\r\n\r\n").expect("the end of a part's headers");
        let end = find(rest, &delimiter).expect("the end of a part");
        let headers = String::from_utf8(rest[2..head].to_vec()).expect("text");
        parts.push((headers, rest[head + 4..end].to_vec()));
        rest = &rest[end..];
    }
}

#[test]
fn several_ranges_come_one_part_each_in_the_order_of_the_request() {
    let content = bytes(3, 100_000);
    let (server, path) = with_blob(&content);
    let asked = [(50_000, 59_999), (0, 9), (5, 14), (0, 9), (99_990, 99_999), (10, 10)];
    let range: Vec<String> = asked.iter().map(|(start, end)| format!("{start}-{end}")).collect();
    for separator in [",", ", "] {
        let response = ask(&server.client(), &path, &format!("bytes={}", range.join(separator))).expect(206);
        assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
        assert_eq!(response.header("content-range"), None);
        let parts = parts(&response);
        assert_eq!(parts.len(), asked.len());
        for ((headers, body), (start, end)) in parts.iter().zip(asked) {
            let headers: Vec<&str> = headers.split("\r\n").collect();
            let range = format!("Content-Range: bytes {start}-{end}/100000");
            assert_eq!(headers, ["Content-Type: application/octet-stream", range.as_str()]);
            assert!(*body == content[start..=end], "{range}");
        }
    }
}

#[test]
fn open_suffix_and_clamped_ranges_may_be_among_several() {
    let content = bytes(3, 1000);
    let (server, path) = with_blob(&content);
    let response = ask(&server.client(), &path, "bytes=-10,990-,995-5000,5000-6000").expect(206);
    let bodies: Vec<Vec<u8>> = parts(&response).into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [&content[990..], &content[990..], &content[995..]]);
}

/// podman asks for the scattered changes of a zstd:chunked layer with 20 KB of ranges.
#[test]
fn thousands_of_ranges_are_answered_and_more_are_ignored() {
    let content = bytes(3, 100_000);
    let (server, path) = with_blob(&content);
    let ranges: Vec<String> = (0..2_500).map(|part| format!("{}-{}", part * 40, part * 40 + 19)).collect();
    let header = format!("bytes={}", ranges.join(","));
    assert!(header.len() > 20_000);
    let answer = ask(&server.client(), &path, &header).expect(206);
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    let parts = parts(&answer);
    assert_eq!(parts.len(), ranges.len());
    assert!(parts.iter().enumerate().all(|(part, (_, body))| *body == content[part * 40..part * 40 + 20]));
    let whole = ask(&server.client(), &path, &format!("bytes={}", vec!["1-2"; MAX_PARTS + 1].join(",")));
    assert!(whole.expect(200).body == content);
}

#[test]
fn ranges_that_have_more_bytes_than_the_blob_are_ignored() {
    let content = bytes(3, 100_000);
    let (server, path) = with_blob(&content);
    let whole = ask(&server.client(), &path, "bytes=0-59999,40000-99999").expect(200);
    assert!(whole.body == content && whole.header("content-range").is_none());
}

#[test]
fn if_range_with_the_blobs_tag_lets_the_range_count_and_any_other_does_not() {
    let content = bytes(3, 1000);
    let (server, path) = with_blob(&content);
    let digest = sha256(&content);
    let ask = |condition: &str| {
        let headers = [("Range", "bytes=0-9"), ("If-Range", condition)];
        server.client().send("GET", &path, &headers, b"")
    };
    assert!(ask(&format!("\"{digest}\"")).expect(206).body == content[..10]);
    for other in [
        format!("\"{}\"", sha256(b"other")),
        format!("W/\"{digest}\""),
        "Wed, 21 Oct 2015 07:28:00 GMT".to_owned(),
        String::new(),
    ] {
        assert!(ask(&other).expect(200).body == content, "{other}");
    }
}
