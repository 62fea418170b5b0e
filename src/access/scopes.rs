//! Scopes: they restrict what a token may be used for. A token never permits more than its owner may do at
//! the time of use.

use std::fmt;

use super::action::Kind;

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

/// A word that is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope; use some of read_registry, write_registry, delete_registry, read_api, api")]
pub struct ScopeError(String);

const NAMES: [(&str, Scopes); 5] = [
    ("read_registry", Scopes::READ_REGISTRY),
    ("write_registry", Scopes::WRITE_REGISTRY),
    ("delete_registry", Scopes::DELETE_REGISTRY),
    ("read_api", Scopes::READ_API),
    ("api", Scopes::API),
];

impl Scopes {
    /// Pull.
    pub const READ_REGISTRY: Self = Self(1);
    /// Push, with the reads that a push needs.
    pub const WRITE_REGISTRY: Self = Self(2);
    /// Delete.
    pub const DELETE_REGISTRY: Self = Self(4);
    /// Read through the API.
    pub const READ_API: Self = Self(8);
    /// Read and change through the API.
    pub const API: Self = Self(16);
    /// Everything: the scopes of a password.
    pub const ALL: Self = Self(31);

    /// The names of all scopes.
    pub fn known() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The set of the scopes with these names.
    pub fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, ScopeError> {
        names.into_iter().try_fold(Self(0), |scopes, word| {
            let found = NAMES.iter().find(|(name, _)| *name == word);
            found.map(|(_, scope)| Self(scopes.0 | scope.0)).ok_or_else(|| ScopeError(word.to_owned()))
        })
    }

    /// The stored form.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether any of `other` is in the set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a credential with these scopes may be used for this.
    pub(super) const fn cover(self, kind: Kind) -> bool {
        self.any(match kind {
            // A push reads manifests and blobs, to skip what the registry already has.
            Kind::Pull => Self(Self::READ_REGISTRY.0 | Self::WRITE_REGISTRY.0),
            Kind::Catalog => Self::READ_REGISTRY,
            Kind::Push => Self::WRITE_REGISTRY,
            Kind::Delete => Self::DELETE_REGISTRY,
            // A scope that permits changes through the API also permits reading through it.
            Kind::ReadUsers | Kind::ReadTokens | Kind::ReadServer => Self(Self::READ_API.0 | Self::API.0),
            Kind::ManageUsers | Kind::ManageTokens | Kind::RunJobs | Kind::ManageTrash => Self::API,
            Kind::System => return false,
        })
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes that count for requests through the API: only `read_api` and `api` do, and there they cover
    /// repositories as well.
    pub(super) const fn through_api(self) -> Self {
        if self.any(Self::API) {
            Self::ALL
        } else if self.any(Self::READ_API) {
            Self(Self::READ_API.0 | Self::READ_REGISTRY.0)
        } else {
            Self(0)
        }
    }

    /// The names of the scopes in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(_, scope)| self.any(*scope)).map(|(name, _)| name)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn through_the_api_its_own_scopes_count_and_no_others() {
        for (scopes, through_api) in [
            ("read_api", "read_registry,read_api"),
            ("api", "read_registry,write_registry,delete_registry,read_api,api"),
            ("read_registry,write_registry,delete_registry", ""),
            ("delete_registry,read_api", "read_registry,read_api"),
        ] {
            assert_eq!(Scopes::named(scopes.split(',')).unwrap().through_api().to_string(), through_api);
        }
    }

    #[test]
    fn scopes_are_read_as_they_are_written() {
        let scopes = Scopes::named(["write_registry", "read_registry"]).unwrap();
        assert_eq!(scopes.to_string(), "read_registry,write_registry");
        assert_eq!(Scopes::from_bits(scopes.bits()), scopes);
        for wrong in ["admin", "", " api", "read_api,api"] {
            let error = Scopes::named(["read_registry", wrong]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{wrong:?} is not a scope")), "{error}");
        }
    }
}
