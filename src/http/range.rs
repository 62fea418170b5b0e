//! The headers `Range` (RFC 9110 section 14) and `Content-Range` (distribution-spec, end-5).

use crate::registry::ContentRange;

/// The most parts of one response. The head of a request has room for fewer ranges of a large blob.
pub const MAX_PARTS: usize = 4096;

/// A part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The number of bytes; at least one.
    pub len: u64,
}

impl Span {
    /// The value of `Content-Range` for this part of `size` bytes.
    pub fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + self.len - 1)
    }
}

/// The parts that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Everything: there is no range, or none that is valid, or the parts would have more bytes than the
    /// whole.
    Whole,
    /// These parts, in this order.
    Parts(Vec<Span>),
    /// No part lies within the body.
    Unsatisfiable,
}

/// Parses a `Range` header for a body of `size` bytes. More than [`MAX_PARTS`] parts, and parts that overlap
/// so much that they have more bytes than the body, are ignored (RFC 9110 section 14.2), as Go's server does:
/// every client of ranges also accepts the whole. Parts keep their order and are not merged, even if they
/// touch: containers/image rejects a response with fewer parts than it requested.
pub fn parse(header: &str, size: u64) -> Asked {
    let Some(specs) = header.strip_prefix("bytes=") else { return Asked::Whole };
    let (mut parts, mut bytes) = (Vec::new(), 0_u64);
    for spec in specs.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        match part(spec, size) {
            Part::Malformed => return Asked::Whole,
            Part::Beyond => {}
            Part::Within(span) => {
                let Some(sum) = bytes.checked_add(span.len).filter(|sum| *sum <= size) else {
                    return Asked::Whole;
                };
                if parts.len() == MAX_PARTS {
                    return Asked::Whole;
                }
                bytes = sum;
                parts.push(span);
            }
        }
    }
    if specs.split(',').all(|spec| spec.trim().is_empty()) {
        return Asked::Whole;
    }
    if parts.is_empty() { Asked::Unsatisfiable } else { Asked::Parts(parts) }
}

/// The result of parsing one range.
enum Part {
    /// Not a range.
    Malformed,
    /// It lies outside of the body.
    Beyond,
    /// A part of the body.
    Within(Span),
}

fn part(spec: &str, size: u64) -> Part {
    let Some((first, last)) = spec.split_once('-') else { return Part::Malformed };
    let bounds = match (first, last, number(first), number(last)) {
        ("", _, _, Some(suffix)) => (size - suffix.min(size), size),
        (_, "", Some(first), _) => (first, size),
        // RFC 9110 calls an end before the start invalid; the conformance suite expects 416 for it.
        (_, _, Some(first), Some(last)) => (first, last.saturating_add(1).min(size)),
        _ => return Part::Malformed,
    };
    match bounds {
        (start, end) if start < end => Part::Within(Span { start, len: end - start }),
        _ => Part::Beyond,
    }
}

/// Parses digits only; a number that is too large counts as the greatest one.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Parses the `Content-Range` of a chunk: `<start>-<end>`, both inclusive (distribution-spec, "Pushing a blob
/// in chunks"). HTTP libraries write the form of RFC 9110 section 14.4, `bytes <start>-<end>/<total>`, which
/// means the same; the total may be `*`.
pub fn content_range(text: &str) -> Option<ContentRange> {
    let text = text.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let (span, total) = match text.split_once('/') {
        Some((span, "*")) => (span, None),
        Some((span, total)) => (span, Some(digits(total)?)),
        None => (text, None),
    };
    let (start, end) = span.split_once('-')?;
    let (start, end) = (digits(start)?, digits(end)?);
    (start <= end && total.is_none_or(|total| end < total)).then_some(ContentRange { start, end })
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(start: u64, len: u64) -> Asked {
        Asked::Parts(vec![Span { start, len }])
    }

    #[test]
    fn the_table_of_rfc_9110_holds_for_2048_bytes() {
        for (header, expected) in [
            ("bytes=500-1499", span(500, 1000)),
            ("bytes=500-", span(500, 1548)),
            ("bytes=-500", span(1548, 500)),
            ("bytes=2000-5000", span(2000, 48)),
            ("bytes=500-0", Asked::Unsatisfiable),
            ("bytes=5000-10000", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=-5000", span(0, 2048)),
            ("items=0-1", Asked::Whole),
            ("bytes=abc", Asked::Whole),
            ("bytes=1-2-3", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=0-99999999999999999999999", span(0, 2048)),
        ] {
            assert_eq!(parse(header, 2048), expected, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Asked::Unsatisfiable);
    }

    #[test]
    fn several_ranges_keep_their_order_and_are_not_merged() {
        let spans = [(20, 10), (0, 10), (5, 10)].map(|(start, len)| Span { start, len });
        assert_eq!(parse("bytes=20-29, 0-9,5-14", 100), Asked::Parts(spans.to_vec()));
        assert_eq!(parse("bytes=0-9,500-600", 100), span(0, 10));
    }

    #[test]
    fn parts_that_cost_more_than_the_whole_are_not_sent() {
        let header = format!("bytes={}", vec!["0-0"; MAX_PARTS].join(","));
        let size = 2 * MAX_PARTS as u64;
        assert!(matches!(parse(&header, size), Asked::Parts(parts) if parts.len() == MAX_PARTS));
        assert_eq!(parse(&format!("{header},0-0"), size), Asked::Whole);
        assert_eq!(parse(&header, MAX_PARTS as u64 - 1), Asked::Whole, "more bytes than there are");
        assert_eq!(parse("bytes=0-9,0-9", 20), Asked::Parts(vec![Span { start: 0, len: 10 }; 2]));
        assert_eq!(parse("bytes=0-9,0-10", 20), Asked::Whole);
        // Ranges outside of the body do not count.
        let beyond = format!("bytes={}", vec!["30-"; 2 * MAX_PARTS].join(","));
        assert_eq!(parse(&beyond, 20), Asked::Unsatisfiable);
        assert_eq!(parse(&format!("bytes={}-", "9".repeat(9000)), 10), Asked::Unsatisfiable);
    }

    #[test]
    fn a_content_range_may_have_the_form_of_the_specification_or_that_of_http() {
        let range = Some(ContentRange { start: 5, end: 9 });
        for text in
            ["5-9", "bytes 5-9", "bytes 5-9/10", "bytes 5-9/99", "bytes 5-9/*", "5-9/*", "bytes=5-9", " 5-9 "]
        {
            assert_eq!(content_range(text), range, "{text}");
        }
        for text in [
            "",
            "-",
            "5-",
            "-9",
            "9-5",
            "*",
            "bytes */10",
            "bytes 5-9/9",
            "bytes 5-9/",
            "items 5-9/10",
            "5-9-1",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_part_lies_within_the_body(header in "bytes=[0-9, -]{0,40}", size in 0_u64..10_000) {
            if let Asked::Parts(parts) = parse(&header, size) {
                for part in parts {
                    prop_assert!(part.len > 0 && part.start + part.len <= size);
                }
            }
        }
    }
}
