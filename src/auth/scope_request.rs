//! Scopes of the token protocol: `repository:library/alpine:pull,push` (CNCF Distribution, "Token Scope
//! Documentation").

use std::str::FromStr;

/// A scope that a client requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRequest {
    /// `repository`, `registry` or something unknown.
    pub kind: String,
    /// The name of the resource.
    pub name: String,
    /// The requested actions.
    pub actions: Vec<String>,
}

/// The text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is type:name:actions, such as repository:library/alpine:pull,push")]
pub struct ScopeSyntax;

impl FromStr for ScopeRequest {
    type Err = ScopeSyntax;

    /// The name may contain a colon (a host with a port), so it ends at the last one.
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
}
