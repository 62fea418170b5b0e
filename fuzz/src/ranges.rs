//! `Range` and `Content-Range`. The input has three lines: the size of the blob, and the two headers.

use stowage::http::range::{Asked, MAX_PARTS, content_range, parse};

use super::text::{first_line, header_value};

/// Every part lies within the blob and is what RFC 9110 says, in the order of the request; the bounds of a
/// chunk are printed as they were read.
pub fn check(input: &[u8]) {
    let (size, rest) = first_line(input);
    let (range, content) = first_line(rest);
    let size = str::from_utf8(size).ok().and_then(|size| size.parse().ok()).unwrap_or(10);
    if let Some(header) = header_value(range) {
        check_range(header, size);
    }
    if let Some(header) = header_value(content) {
        check_content_range(header);
    }
}

fn check_range(header: &str, size: u64) {
    let asked = parse(header, size);
    if let Asked::Parts(parts) = &asked {
        assert!(!parts.is_empty() && parts.len() <= MAX_PARTS);
        for part in parts {
            assert!(part.len > 0 && part.len <= size && part.start <= size - part.len, "{part:?} of {size}");
            let said = format!("bytes {}-{}/{size}", part.start, part.start + (part.len - 1));
            assert_eq!(part.content_range(size), said);
        }
    }
    assert_eq!(simplify(&asked), expected(header, size), "{header:?} of {size}");
}

/// The expected parts, as first and last bytes.
#[derive(Debug, PartialEq, Eq)]
enum Simple {
    Whole,
    Nothing,
    Bytes(Vec<(u128, u128)>),
}

fn simplify(asked: &Asked) -> Simple {
    match asked {
        Asked::Whole => Simple::Whole,
        Asked::Unsatisfiable => Simple::Nothing,
        Asked::Parts(parts) => {
            let ends = |start: u64, len: u64| (u128::from(start), u128::from(start) + u128::from(len) - 1);
            Simple::Bytes(parts.iter().map(|part| ends(part.start, part.len)).collect())
        }
    }
}

/// RFC 9110 section 14 in numbers that cannot overflow. A range whose end is before its start is
/// unsatisfiable here, as the conformance suite expects. Too many parts, and parts with more bytes than the
/// blob, are ignored.
fn expected(header: &str, size: u64) -> Simple {
    let Some(set) = header.strip_prefix("bytes=") else { return Simple::Whole };
    let size = u128::from(size);
    let specs: Vec<&str> = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).collect();
    let mut found = Vec::new();
    for spec in specs.iter().filter(|spec| !spec.is_empty()) {
        let Some(dash) = spec.find('-') else { return Simple::Whole };
        let (first, last) = match (digits(&spec[..dash]), digits(&spec[dash + 1..])) {
            (Digits::None, Digits::Number(suffix)) => (size.saturating_sub(suffix), u128::MAX),
            (Digits::Number(first), Digits::None) => (first, u128::MAX),
            (Digits::Number(first), Digits::Number(last)) => (first, last),
            _ => return Simple::Whole,
        };
        if first <= last && first < size {
            found.push((first, last.min(size - 1)));
        }
    }
    if found.len() > MAX_PARTS || found.iter().map(|(first, last)| last - first + 1).sum::<u128>() > size {
        return Simple::Whole;
    }
    match (specs.iter().all(|spec| spec.is_empty()), found.is_empty()) {
        (true, _) => Simple::Whole,
        (_, true) => Simple::Nothing,
        _ => Simple::Bytes(found),
    }
}

enum Digits {
    None,
    Number(u128),
    Other,
}

fn digits(text: &str) -> Digits {
    if text.is_empty() {
        return Digits::None;
    }
    text.chars()
        .try_fold(0_u128, |number, character| {
            let digit = character.to_digit(10).filter(|_| character.is_ascii())?;
            Some(number.saturating_mul(10).saturating_add(u128::from(digit)))
        })
        .map_or(Digits::Other, Digits::Number)
}

/// distribution-spec, end-5: `^[0-9]+-[0-9]+$`; both numbers must fit and be in order. RFC 9110 section 14.4
/// has `bytes ` before it, and the total or `*` after it.
fn check_content_range(header: &str) {
    let text = header.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let (span, total) = match text.find('/') {
        Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
        None => (text, None),
    };
    let largest = u128::from(u64::MAX);
    let fits = |end: u128| match total {
        None | Some("*") => end <= largest,
        Some(total) => matches!(digits(total), Digits::Number(total) if end < total && total <= largest),
    };
    let expected = span.find('-').and_then(|dash| match (digits(&span[..dash]), digits(&span[dash + 1..])) {
        (Digits::Number(start), Digits::Number(end)) if start <= end && fits(end) => Some((start, end)),
        _ => None,
    });
    let found = content_range(header);
    assert_eq!(found.map(|range| (u128::from(range.start), u128::from(range.end))), expected, "{header:?}");
    if let Some(range) = found {
        assert_eq!(
            u128::from(range.len()),
            (u128::from(range.end - range.start) + 1).min(u128::from(u64::MAX))
        );
        assert_eq!(content_range(&format!("{}-{}", range.start, range.end)), Some(range));
    }
}
