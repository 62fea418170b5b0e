//! The rights that a registry token carries: its `access` claim (CNCF Distribution, "Token Authentication
//! Implementation").

use serde::{Deserialize, Serialize};

use super::action::Kind;
use super::resource::Resource;

/// The actions that a token permits on one resource: an entry of its `access` claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccessEntry {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name, or `catalog`.
    pub name: String,
    /// `pull`, `push`, `delete` or `*`.
    pub actions: Vec<String>,
    /// The number of the repository when the token was issued; 0: there was none. If a repository is deleted
    /// and another one is created under its name, the token does not cover the new one.
    #[serde(default)]
    pub id: u64,
    /// The actions that were requested and refused. A refusal can then answer 403 instead of a challenge,
    /// which would make the client request the same token again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// The `access` claim of a registry token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(pub Vec<AccessEntry>);

impl Claims {
    /// Whether the token covers `kind` on the resource.
    pub(super) fn covers(&self, kind: Kind, resource: Resource<'_>) -> bool {
        self.any(kind, resource, |entry| &entry.actions)
    }

    /// Approximate size of the entries in memory, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        let words =
            |words: &[String]| words.iter().map(|word| word.len() + size_of::<String>()).sum::<usize>();
        let entry = |entry: &AccessEntry| {
            let lists = words(&entry.actions) + words(&entry.refused);
            size_of::<AccessEntry>() + entry.kind.len() + entry.name.len() + lists
        };
        self.0.iter().map(entry).sum()
    }

    /// Whether the client requested `kind` on the resource with the token and was refused.
    pub(super) fn was_refused(&self, kind: Kind, resource: Resource<'_>) -> bool {
        self.any(kind, resource, |entry| &entry.refused)
    }

    fn any(&self, kind: Kind, resource: Resource<'_>, list: impl Fn(&AccessEntry) -> &[String]) -> bool {
        let (thing, name, id, action) = match (kind, resource) {
            (Kind::Pull, Resource::Repository { name, id }) => ("repository", name, id, "pull"),
            (Kind::Push, Resource::Repository { name, id }) => ("repository", name, id, "push"),
            (Kind::Delete, Resource::Repository { name, id }) => ("repository", name, id, "delete"),
            (Kind::Catalog, Resource::Site) => ("registry", "catalog", None, "*"),
            _ => return false,
        };
        self.0.iter().any(|entry| {
            let same = entry.kind == thing && entry.name == name;
            let bound = entry.id == 0 || id.is_none_or(|id| id.0 == entry.id);
            same && bound && list(entry).iter().any(|held| held == action || held == "*")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::RepoId;

    const fn repository(name: &str, id: Option<u64>) -> Resource<'_> {
        let id = match id {
            Some(id) => Some(RepoId(id)),
            None => None,
        };
        Resource::Repository { name, id }
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
        let claims = Claims(vec![entry]);
        assert!(claims.covers(Kind::Pull, repository("a", Some(7))));
        assert!(!claims.covers(Kind::Pull, repository("a", Some(8))));
        assert!(!claims.covers(Kind::Push, repository("a", Some(7))));
        assert!(!claims.covers(Kind::Pull, repository("b", Some(7))));
    }

    /// A client requests its token before its push creates the repository, and uses it afterwards. The rights
    /// of the user are checked with every request, so the token gives no access to a repository that another
    /// user created meanwhile.
    #[test]
    fn a_token_for_a_name_that_was_free_covers_what_is_made_there_and_no_other_name() {
        let entry = AccessEntry {
            kind: "repository".into(),
            name: "a".into(),
            actions: vec!["push".into()],
            id: 0,
            ..AccessEntry::default()
        };
        let claims = Claims(vec![entry]);
        for id in [None, Some(7), Some(8)] {
            assert!(claims.covers(Kind::Push, repository("a", id)));
            assert!(!claims.covers(Kind::Pull, repository("a", id)));
            assert!(!claims.covers(Kind::Delete, repository("a", id)));
            assert!(!claims.covers(Kind::Push, repository("b", id)));
        }
    }
}
