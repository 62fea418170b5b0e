//! Scopes of the token protocol: `repository:library/alpine:pull,push` (distribution, "Token Scope Documentation").

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::grant::Kind;
use crate::model::names::RepoId;

/// One entry: what may be done to one thing. This is also the entry of a token's `access` claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccessEntry {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name, or `catalog`.
    pub name: String,
    /// `pull`, `push`, `delete` or `*`.
    pub actions: Vec<String>,
    /// The number of the repository when the token was issued; 0: there was none. A repository that was made anew
    /// under an old name is another one.
    #[serde(default)]
    pub id: u64,
    /// What was asked for and not granted, so that the refusal of it can say so instead of asking for another token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// What a registry token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access(pub Vec<AccessEntry>);

impl Access {
    /// Whether the token covers `kind` on the repository, or on the catalogue where there is none.
    pub(super) fn covers(&self, kind: Kind, repository: Option<(&str, Option<RepoId>)>) -> bool {
        self.any(kind, repository, |entry| &entry.actions)
    }

    /// Bytes that the entries take in memory, about.
    pub(super) fn text_bytes(&self) -> usize {
        let words =
            |words: &[String]| words.iter().map(|word| word.len() + size_of::<String>()).sum::<usize>();
        let entry = |entry: &AccessEntry| {
            let lists = words(&entry.actions) + words(&entry.refused);
            size_of::<AccessEntry>() + entry.kind.len() + entry.name.len() + lists
        };
        self.0.iter().map(entry).sum()
    }

    /// Whether the token was asked for with `kind` on the repository and did not get it.
    pub(super) fn was_refused(&self, kind: Kind, repository: Option<(&str, Option<RepoId>)>) -> bool {
        self.any(kind, repository, |entry| &entry.refused)
    }

    fn any(
        &self,
        kind: Kind,
        repository: Option<(&str, Option<RepoId>)>,
        list: impl Fn(&AccessEntry) -> &[String],
    ) -> bool {
        let (thing, name, id, action) = match (kind, repository) {
            (Kind::Pull, Some((name, id))) => ("repository", name, id, "pull"),
            (Kind::Push, Some((name, id))) => ("repository", name, id, "push"),
            (Kind::Delete, Some((name, id))) => ("repository", name, id, "delete"),
            (Kind::Catalog, _) => ("registry", "catalog", None, "*"),
            _ => return false,
        };
        self.0.iter().any(|entry| {
            let same = entry.kind == thing && entry.name == name;
            let bound = entry.id == 0 || id.is_none_or(|id| id.0 == entry.id);
            same && bound && list(entry).iter().any(|held| held == action || held == "*")
        })
    }
}

/// A scope that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRequest {
    /// `repository`, `registry` or something unknown.
    pub kind: String,
    /// What it is asked for.
    pub name: String,
    /// What shall be done.
    pub actions: Vec<String>,
}

/// A text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is type:name:actions, such as repository:library/alpine:pull,push")]
pub struct ScopeSyntax;

impl FromStr for ScopeRequest {
    type Err = ScopeSyntax;

    /// The name may hold a colon (a host with a port), so it ends at the last one.
    fn from_str(text: &str) -> Result<Self, ScopeSyntax> {
        let (kind, rest) = text.split_once(':').ok_or(ScopeSyntax)?;
        let (name, actions) = rest.rsplit_once(':').ok_or(ScopeSyntax)?;
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect();
        Ok(Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_split_at_its_first_and_its_last_colon() {
        let scope: ScopeRequest = "repository(plugin):host:5000/a/b:pull,push".parse().unwrap();
        assert_eq!((scope.kind.as_str(), scope.name.as_str()), ("repository", "host:5000/a/b"));
        assert_eq!(scope.actions, ["pull", "push"]);
        assert!("repository".parse::<ScopeRequest>().is_err());
        assert!("repository:a:".parse::<ScopeRequest>().unwrap().actions.is_empty());
    }

    #[test]
    fn a_token_for_a_repository_does_not_cover_another_one_made_under_its_name() {
        let entry = AccessEntry {
            kind: "repository".into(),
            name: "a".into(),
            actions: vec!["pull".into()],
            id: 7,
            ..AccessEntry::default()
        };
        let access = Access(vec![entry]);
        assert!(access.covers(Kind::Pull, Some(("a", Some(RepoId(7))))));
        assert!(!access.covers(Kind::Pull, Some(("a", Some(RepoId(8))))));
        assert!(!access.covers(Kind::Push, Some(("a", Some(RepoId(7))))));
        assert!(!access.covers(Kind::Pull, Some(("b", Some(RepoId(7))))));
    }

    /// A client asks for the token before its push makes the repository, and goes on with it. What its user may do there
    /// is asked with every request, so the token gives nothing in a repository that another user made.
    #[test]
    fn a_token_for_a_name_that_was_free_covers_what_is_made_there_and_no_other_name() {
        let entry = AccessEntry {
            kind: "repository".into(),
            name: "a".into(),
            actions: vec!["push".into()],
            id: 0,
            ..AccessEntry::default()
        };
        let access = Access(vec![entry]);
        for id in [None, Some(RepoId(7)), Some(RepoId(8))] {
            assert!(access.covers(Kind::Push, Some(("a", id))));
            assert!(
                !access.covers(Kind::Pull, Some(("a", id))) && !access.covers(Kind::Delete, Some(("a", id)))
            );
            assert!(!access.covers(Kind::Push, Some(("b", id))));
        }
    }
}
