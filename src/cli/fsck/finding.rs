//! The text of one problem in a report: the image that it concerns, what is wrong, and what to do.

use crate::cli::output;
use crate::wire::Finding;

/// A problem as it is shown.
#[derive(Clone, Copy)]
pub(super) struct ShownFinding<'a>(pub(super) &'a Finding);

/// What to do about a problem, besides pushing images again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remedy {
    /// Files cannot be read, and may be intact.
    Disk,
    /// Another program has written to the database.
    Intruder,
    /// Rows are lost or contradict each other.
    Rebuild,
}

impl Remedy {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Disk => {
                "check the disk (dmesg) and the permissions of files that cannot be read: they may be intact"
            }
            Self::Intruder => {
                "find out who could write to the data directory; backups and dumps of before have the entries as they were"
            }
            Self::Rebuild => "recover the metadata from a dump: stowage rebuild --into NEW-DIR",
        }
    }
}

impl<'a> ShownFinding<'a> {
    pub(super) fn kind(self) -> &'a str {
        &self.0.kind
    }

    /// The images that need the damaged content.
    pub(super) fn images(self) -> impl Iterator<Item = &'a str> {
        self.0.images.iter().map(String::as_str)
    }

    pub(super) fn remedy(self) -> Option<Remedy> {
        match self.kind() {
            "blob_unreadable" | "tree_unreadable" => Some(Remedy::Disk),
            "audit_chain" => Some(Remedy::Intruder),
            "blob_missing" | "blob_file_missing" | "blob_size" | "blob_content" | "blob_corrupt"
            | "manifest_content" | "manifest_missing" => None,
            _ => Some(Remedy::Rebuild),
        }
    }

    /// Image, digest, and what is wrong.
    pub(super) fn row(self, short: bool) -> Vec<String> {
        let digest = self.0.digest.as_deref().unwrap_or_default();
        vec![self.image(), output::digest(digest, !short), self.words()]
    }

    /// Every field, unshortened.
    pub(super) fn in_full(self) -> Vec<String> {
        let Finding { kind, severity, repository, digest, images, expected, found } = self.0.clone();
        let images = images.join(", ");
        let (repository, digest) = (repository.unwrap_or_default(), digest.unwrap_or_default());
        vec![severity, kind, repository, images, digest, expected, found]
    }

    fn image(self) -> String {
        let mut images = self.images();
        let (first, more) = (images.next(), images.count());
        match first {
            Some(first) if more > 0 => format!("{first} and {more} more"),
            Some(first) => first.to_owned(),
            None => self.0.repository.clone().unwrap_or_default(),
        }
    }

    fn words(self) -> String {
        let Finding { expected, found, .. } = self.0;
        let words = match self.kind() {
            "blob_missing" => "the repository has the blob, and the blob is missing",
            "blob_file_missing" => "the file of the blob is missing",
            "blob_content" => "the content of the blob has changed on the disk",
            "blob_corrupt" => "found damaged before, and hidden until it is pushed again",
            "manifest_content" => "the content of the manifest has changed",
            "manifest_missing" => "the content of the manifest is missing",
            "tag_target" => "the tag points to a manifest that is missing",
            "blob_size" => return format!("the file of the blob has {found} instead of {expected}"),
            "blob_unreadable" => return format!("the file of the blob cannot be read: {found}"),
            "tree_unreadable" => return format!("{expected} cannot be read: {found}"),
            "audit_chain" => return format!("expected that {expected}: {found}"),
            "database" => return format!("the database cannot be used: {found}"),
            kind => {
                return format!("{}: expected {expected}, found {found}", kind.replace('_', " "));
            }
        };
        words.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_has_words_and_a_remedy() {
        let problem = |kind: &str| Finding {
            kind: kind.to_owned(),
            expected: "7 bytes".to_owned(),
            found: "6 bytes".to_owned(),
            ..Finding::default()
        };
        for (kind, words, remedy) in [
            ("blob_size", "the file of the blob has 6 bytes instead of 7 bytes", None),
            ("blob_unreadable", "the file of the blob cannot be read: 6 bytes", Some(Remedy::Disk)),
            ("audit_chain", "expected that 7 bytes: 6 bytes", Some(Remedy::Intruder)),
            ("link_flags", "link flags: expected 7 bytes, found 6 bytes", Some(Remedy::Rebuild)),
            ("database", "the database cannot be used: 6 bytes", Some(Remedy::Rebuild)),
        ] {
            let problem = problem(kind);
            assert_eq!(ShownFinding(&problem).words(), words);
            assert_eq!(ShownFinding(&problem).remedy(), remedy);
        }
    }
}
