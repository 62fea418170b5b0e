//! Names of users, as they are looked up.

/// Characters of a user's name at most.
pub(crate) const MAX_USER_NAME: usize = 64;

/// A name as it is found: two names that differ in their case alone are one.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}
