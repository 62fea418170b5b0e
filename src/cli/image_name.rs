//! Names of repositories, tags and manifests on the command line.

/// `team/app`, `team/app:1.0`, `team/app@sha256:...`, each also with the server before it, as docker writes
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageName<'a> {
    pub(super) repository: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) digest: Option<&'a str>,
}

impl<'a> ImageName<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        // A colon in the first part can only begin a port, because repositories have no colons.
        let text = match text.split_once('/') {
            Some((host, rest)) if host.contains(':') || host == "localhost" => rest,
            _ => text,
        };
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest)),
            None => (text, None),
        };
        match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Self { repository, tag: Some(tag), digest },
            _ => Self { repository: text, tag: None, digest },
        }
    }

    /// The name without a first part that may be a server: `registry.lan/team/app` is `team/app`.
    pub(super) fn without_host(&self) -> Option<&'a str> {
        let (host, rest) = self.repository.split_once('/')?;
        host.contains('.').then_some(rest)
    }
}

/// Whether a text matches a pattern, in which `*` is any text and `?` any character.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // The position of the last star, and how much of the text it covers.
    let mut star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[read] => (at, read) = (at + 1, read + 1),
            _ => match &mut star {
                Some((start, taken)) => {
                    *taken += 1;
                    (at, read) = (*start + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_understood_as_people_write_it() {
        for (text, repository, tag, digest) in [
            ("team/app", "team/app", None, None),
            ("team/app:1.0", "team/app", Some("1.0"), None),
            ("127.0.0.1:7510/demo/alpine", "demo/alpine", None, None),
            ("registry.lan:5000/demo/alpine:3", "demo/alpine", Some("3"), None),
            ("localhost/alpine", "alpine", None, None),
            ("app@sha256:ab", "app", None, Some("sha256:ab")),
            ("app:1@sha256:ab", "app", Some("1"), Some("sha256:ab")),
            ("registry.lan/app", "registry.lan/app", None, None),
        ] {
            assert_eq!(ImageName::of(text), ImageName { repository, tag, digest }, "{text}");
        }
        assert_eq!(ImageName::of("registry.lan/team/app").without_host(), Some("team/app"));
        assert_eq!(ImageName::of("team/app").without_host(), None);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("v1.*", "v1.10", true),
            ("v1.*", "v1.", true),
            ("v1.*", "v2.1", false),
            ("*", "anything", true),
            ("*-rc?", "1.0-rc1-rc2", true),
            ("*-rc?", "1.0-rc", false),
            ("?", "ab", false),
            ("a*b*c", "aXbYbZc", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
