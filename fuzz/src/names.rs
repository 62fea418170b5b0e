//! Names, tags, digests, references, upload ids: a text is accepted exactly when the regular expression of
//! the specification matches.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;
use stowage::model::{Algorithm, AnyDigest, Digest, Reference, RepoName, Tag, UploadId};

use super::text::assert_message;

fn regex(expression: &str) -> Regex {
    Regex::new(expression).expect("a good expression")
}

/// distribution-spec, "Pulling manifests": `<name>`.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$"));
/// The same: `<reference>` as a tag.
static TAG: LazyLock<Regex> = LazyLock::new(|| regex(r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$"));
/// image-spec, "Digests".
static DIGEST: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^([a-z0-9]+([+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$"));
/// image-spec, "Registered algorithms".
static KNOWN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}|blake3:[a-f0-9]{64})$"));
/// RFC 9562 section 4, in lower case.
static UPLOAD: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"));

/// The most bytes of a name and of a digest's text.
const MAX_NAME: usize = 255;
const MAX_DIGEST: usize = 512;

/// Whether a text is the name of a repository.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && NAME.is_match(text)
}

/// Whether a text is a digest of an algorithm that the registry computes.
pub fn is_known_digest(text: &str) -> bool {
    KNOWN.is_match(text)
}

/// Whether a text is a digest of any algorithm.
pub fn is_digest(text: &str) -> bool {
    let algorithm = text.split(':').next().unwrap_or_default();
    let computed = Algorithm::ALL.iter().any(|known| known.as_str() == algorithm);
    text.len() <= MAX_DIGEST && DIGEST.is_match(text) && (!computed || is_known_digest(text))
}

/// Whether a text is valid after `/manifests/`.
pub fn is_reference(text: &str) -> bool {
    if text.contains(':') { is_known_digest(text) } else { TAG.is_match(text) }
}

/// Whether a text is the id of an upload session.
pub fn is_upload_id(text: &str) -> bool {
    UPLOAD.is_match(text)
}

/// Parses the text as every kind of name.
pub fn check(text: &str) {
    if let Some(name) = exactly::<RepoName>(text, is_name(text)) {
        assert!(
            text.split('/').all(|part| !part.is_empty() && !part.contains("..") && part != "."),
            "{text:?}"
        );
        let prefixes: Vec<&str> = name.prefixes().collect();
        assert_eq!(prefixes.len(), text.split('/').count());
        assert!(prefixes.iter().all(|prefix| is_name(prefix) && text.starts_with(prefix)), "{prefixes:?}");
    }
    exactly::<Tag>(text, TAG.is_match(text));
    exactly::<Reference>(text, is_reference(text));
    exactly::<UploadId>(text, is_upload_id(text));
    if let Some(digest) = exactly::<Digest>(text, is_known_digest(text)) {
        assert_eq!(Digest::from_key(&digest.key()), Some(digest));
        assert_eq!(text.split_once(':'), Some((digest.algorithm().as_str(), digest.hex().as_str())));
    }
    if let Some(digest) = exactly::<AnyDigest>(text, is_digest(text)) {
        assert_eq!(digest.known().is_some(), is_known_digest(text));
        assert_eq!(AnyDigest::from_key(&digest.key()), Some(digest));
    }
    if let Some(digest) = AnyDigest::from_key(text.as_bytes()) {
        assert_eq!(&*digest.key(), text.as_bytes(), "{digest} has two keys");
    }
}

/// Asserts that the text parses as `T` exactly if it should, and is written as it was read.
fn exactly<T>(text: &str, ought: bool) -> Option<T>
where
    T: FromStr<Err: Display> + Display + Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(value) => {
            assert!(ought, "{text:?} is accepted as {value:?}");
            assert_eq!(value.to_string(), text);
            assert_eq!(text.parse::<T>().ok().as_ref(), Some(&value));
            Some(value)
        }
        Err(error) => {
            assert!(!ought, "{text:?} is refused: {error}");
            assert_message(&error);
            None
        }
    }
}
