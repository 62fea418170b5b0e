//! The types of names and ids: repositories, tags, references, upload sessions.

#[cfg(test)]
mod tests;

use std::fmt;
use std::iter::successors;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::digest::{Digest, DigestError};
use super::text::{quote, serde_as_text};

/// The longest repository name, in bytes: clients limit host and name together to this (distribution-spec,
/// "Pulling manifests").
pub const MAX_NAME: usize = 255;

/// The longest tag, in bytes (distribution-spec, "Pulling manifests").
pub const MAX_TAG: usize = 128;

/// The name of a repository, such as `library/alpine`. Cloning it does not copy the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoName(Arc<str>);

impl RepoName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name itself and the paths above it, longest first: `a/b/c`, `a/b`, `a`.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        successors(Some(self.as_str()), |path| path.rsplit_once('/').map(|(parent, _)| parent))
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    /// Components of `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` with `/` between them (distribution-spec, "Pulling
    /// manifests").
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong { length: text.len() });
        }
        let name = || quote(text);
        if let Some(character) = text.chars().find(|character| !in_name(*character)) {
            let lower = text.to_ascii_lowercase();
            return Err(if lower != text && lower.parse::<Self>().is_ok() {
                NameError::UpperCase { name: name(), lower: quote(&lower) }
            } else {
                NameError::Character { name: name(), character }
            });
        }
        for component in text.split('/') {
            if component.is_empty() {
                return Err(NameError::Slash { name: name() });
            }
            if !separators_are_inside(component) {
                return Err(NameError::Separator { name: name(), component: quote(component) });
            }
        }
        Ok(Self(text.into()))
    }
}

fn in_name(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || "._-/".contains(character)
}

/// Whether what stands between the letters and digits of a component is `.`, `_`, `__` or dashes, and never
/// at its ends.
fn separators_are_inside(component: &str) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = component.as_bytes();
    let separator =
        |run: &[u8]| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-');
    bytes.first().is_some_and(is_inner)
        && bytes.last().is_some_and(is_inner)
        && bytes.split(is_inner).all(separator)
}

/// Why a text is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("repository name is empty: write a name such as team/app")]
    Empty,
    /// It is longer than [`MAX_NAME`].
    #[error("repository name has {length} characters: shorten it to at most {MAX_NAME}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It would be valid in lower case.
    #[error("repository name `{name}` has upper-case letters: write `{lower}`")]
    UpperCase {
        /// What was sent, shortened.
        name: String,
        /// The same in lower case.
        lower: String,
    },
    /// A character that no name may have.
    #[error(
        "repository name `{name}` must not contain {character:?}: use lower-case letters, digits, `.`, `_`, `-` \
         and `/`"
    )]
    Character {
        /// What was sent, shortened.
        name: String,
        /// The first such character.
        character: char,
    },
    /// A slash at an end, or two in a row.
    #[error("repository name `{name}` has an empty component: put single slashes between components only")]
    Slash {
        /// What was sent, shortened.
        name: String,
    },
    /// Dots, underscores or dashes at a place where they are not permitted.
    #[error(
        "repository name `{name}` is invalid at `{component}`: letters or digits must stand at both ends of a \
         component, and only one `.`, one or two `_`, or dashes between them"
    )]
    Separator {
        /// What was sent, shortened.
        name: String,
        /// The component at fault.
        component: String,
    },
}

/// A tag, such as `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec, "Pulling manifests").
    fn from_str(text: &str) -> Result<Self, TagError> {
        let first = text.chars().next().ok_or(TagError::Empty)?;
        if text.len() > MAX_TAG {
            return Err(TagError::TooLong { length: text.len() });
        }
        let in_tag = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if let Some(character) = text.chars().find(|character| !in_tag(*character)) {
            return Err(TagError::Character { tag: quote(text), character });
        }
        if first == '.' || first == '-' {
            return Err(TagError::Start { tag: quote(text) });
        }
        Ok(Self(text.into()))
    }
}

/// Why a text is not a tag.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TagError {
    /// The text is empty.
    #[error("tag is empty: write a tag such as latest")]
    Empty,
    /// It is longer than [`MAX_TAG`].
    #[error("tag has {length} characters: shorten it to at most {MAX_TAG}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that no tag may have.
    #[error("tag `{tag}` must not contain {character:?}: use letters, digits, `.`, `_` and `-`")]
    Character {
        /// What was sent, shortened.
        tag: String,
        /// The first such character.
        character: char,
    },
    /// It begins with a dot or a dash.
    #[error("tag `{tag}` must begin with a letter, a digit or `_`")]
    Start {
        /// What was sent, shortened.
        tag: String,
    },
}

/// How a request names a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// By the tag that points to it.
    Tag(Tag),
    /// By its digest.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// A text with a colon can only be a digest: a tag has none.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

/// Why a text is not a reference to a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// It has no colon and is not a tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// It has a colon and is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Declares the type of a stable number that identifies rows of one kind (docs/decisions.md, "Numbers instead
/// of names").
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The number of a repository; it does not depend on the name.
    RepoId
}
id! {
    /// The number of a project; it does not depend on the path.
    ProjectId
}
id! {
    /// The number of a user; it does not depend on the login name.
    UserId
}
id! {
    /// The number of a personal token.
    TokenId
}
id! {
    /// A position in the store's single order of changes.
    Sequence
}

impl ProjectId {
    /// The root project, whose path is empty (docs/decisions.md, "The root project").
    pub const ROOT: Self = Self(1);
}

/// The id of an upload session. It is random and secret: the client that knows it may continue the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Uuid);

impl UploadId {
    /// A fresh id from the system's random source.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The form used in keys.
    pub const fn bytes(&self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// Reads back what [`UploadId::bytes`] made.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    /// Accepts only what `Display` writes, so that a session has one spelling.
    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let id = Uuid::try_parse(text).map(Self).map_err(|_| UploadIdError)?;
        if id.to_string() == text { Ok(id) } else { Err(UploadIdError) }
    }
}

/// The text is not the id of an upload session. It is not quoted, because ids are secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("upload id is malformed: use the Location of the last answer unchanged")]
pub struct UploadIdError;

serde_as_text! {
    RepoName: "a repository name",
    Tag: "a tag",
    UploadId: "an upload id",
}
