//! Removes secrets from log lines: clients put them into paths and user names by mistake.

use std::borrow::Cow;

/// The prefix of every secret that the server generates.
const PREFIX: &[u8] = b"stw_";
/// Shorter ones are examples in texts: `stw_pat_...`.
const SHORTEST: usize = 8;

/// The line with each `stw_KIND_SECRET` cut to `stw_KIND_***`.
pub(super) fn redacted(line: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = find(line) else { return Cow::Borrowed(line) };
    let mut told = Vec::with_capacity(line.len());
    let (mut rest, mut next) = (line, Some(first));
    while let Some(start) = next {
        told.extend_from_slice(&rest[..start + PREFIX.len()]);
        rest = &rest[start + PREFIX.len()..];
        let kind = rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let secret = rest[kind..].iter().take_while(|byte| is_part(byte)).count();
        told.extend_from_slice(&rest[..kind]);
        if secret > SHORTEST {
            told.extend_from_slice(b"_***");
        } else {
            told.extend_from_slice(&rest[kind..kind + secret]);
        }
        rest = &rest[kind + secret..];
        next = find(rest);
    }
    told.extend_from_slice(rest);
    Cow::Owned(told)
}

fn find(line: &[u8]) -> Option<usize> {
    line.windows(PREFIX.len()).position(|part| part == PREFIX)
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn secrets_are_cut_wherever_they_stand() {
        for (line, told) in [
            (
                "uri=/api/v1/tokens/stw_pat_0123456789abcdefXYZ status=404",
                "uri=/api/v1/tokens/stw_pat_*** status=404",
            ),
            ("stw_ref_abcdefghijk,stw_pat_abcdefgh-jk", "stw_ref_***,stw_pat_***"),
            ("a token looks like stw_pat_... here", "a token looks like stw_pat_... here"),
            ("nothing", "nothing"),
            ("stw_", "stw_"),
        ] {
            assert_eq!(String::from_utf8_lossy(&redacted(line.as_bytes())), told);
        }
    }
}
